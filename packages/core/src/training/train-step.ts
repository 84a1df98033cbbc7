/**
 * The training step and the state that it moves. Parameters and moments are fed as inputs and come out into a second set of
 * buffers; the sets swap when the step is taken, so one that is refused or fails leaves no trace. (One set would not do:
 * nothing orders the update of a parameter after its last reader.)
 */
import { runtimeError, usageError } from '../errors.ts'
import type { Graph } from '../graph/index.ts'
import { elementCount } from '../model/index.ts'
import type { Runtime, Session } from '../runtime/index.ts'
import { lossFeeds, type TokenBatch } from './loss-feeds.ts'
import { adamWFeeds } from './optimizer.ts'
import { Buffers, type Place, type Tensors } from './train-step-buffers.ts'
import {
  gradientGraph,
  gradientName,
  momentName,
  nextName,
  readBackGraph,
  stepGraph,
  type TrainPlan,
  updateGraph,
} from './train-step-graphs.ts'

/** Arrays by parameter name. */
type Arrays = ReadonlyMap<string, Float32Array>

export interface TrainState {
  readonly parameters: Arrays
  /** Running means of gradients and of their squares. Absent: zero, as before the first step. */
  readonly m?: Arrays
  readonly v?: Arrays
}

export interface StepOptions {
  readonly learningRate: number
  /** 1, 2, ...: how many steps the moments have seen after this one; for bias correction and messages. */
  readonly step: number
  /** Asked before the step is taken; false leaves parameters and moments as they were. Default: every step is taken. */
  readonly accept?: (report: StepReport) => boolean
}

export interface StepReport {
  /** Before the update, in nats. */
  readonly loss: number
  /** L2 norm over all gradients, before clipping. */
  readonly gradNorm: number
  /** What clipping multiplied the gradients by. */
  readonly gradScale: number
}

/** How a plan is run: one session for steps of one batch, two for steps of several. */
type Sessions = { readonly step: Session } | { readonly gradient: Session; readonly update: Session; readonly sums: Buffers }

export class TrainStep {
  readonly #runtime: Runtime
  readonly #plan: TrainPlan
  readonly #microBatches: number
  readonly #sessions: Sessions
  readonly #feeds: ReturnType<typeof lossFeeds>
  readonly #buffers: Buffers

  private constructor(runtime: Runtime, plan: TrainPlan, microBatches: number, sessions: Sessions, buffers: Buffers) {
    this.#runtime = runtime
    this.#plan = plan
    this.#microBatches = microBatches
    this.#sessions = sessions
    this.#feeds = lossFeeds(plan)
    this.#buffers = buffers
  }

  /**
   * Compiles the plan's graphs and copies the state.
   *
   * @param microBatches batches of the plan's shape that make up one step: their gradients are summed. Default: 1
   * @throws usage error naming a trained parameter that the state lacks or has in another size
   */
  static async create(runtime: Runtime, plan: TrainPlan, state: TrainState, microBatches = 1): Promise<TrainStep> {
    const onDevice = runtime.device !== 'cpu'
    const buffers = stateBuffers(plan, state, onDevice)
    // What a run renews stays where it is; reports are read.
    const compile = (graph: Graph) => {
      const renewed = graph.outputs.map(({ name }) => name).filter((name) => name.startsWith(nextName('')))
      return runtime.createSession(graph, { planMemory: false, keepOnDevice: renewed })
    }
    if (microBatches === 1) return new TrainStep(runtime, plan, 1, { step: await compile(stepGraph(plan)) }, buffers)
    const [gradient, update] = [await compile(gradientGraph(plan)), await compile(updateGraph(plan))]
    const sums = new Buffers(
      plan.trainable.map(({ name, shape }) => ({ name: gradientName(name), shape })),
      onDevice,
    )
    return new TrainStep(runtime, plan, microBatches, { gradient, update, sums }, buffers)
  }

  /**
   * Takes one step over the batches together: with weights of their own or not, it is the step over one large batch.
   *
   * @throws usage error for batches that do not fit the plan; runtime error naming the parameter whose gradient is infinite
   *   or NaN, with the state as it was
   */
  async run(batches: readonly TokenBatch[], options: StepOptions): Promise<StepReport> {
    if (batches.length !== this.#microBatches) {
      throw usageError(`step ${options.step}: expected ${this.#microBatches} batches, got ${batches.length}`)
    }
    const scalars = adamWFeeds(this.#plan.optimizer, options.learningRate, options.step)
    const results = await this.#compute(this.#feeds(batches), scalars)
    const { grad_norm: norm, grad_scale: scale, grad_squares: squares } = results.tensors
    const report = { loss: results.loss, gradNorm: Number(norm!.data[0]), gradScale: Number(scale!.data[0]) }
    const bad = this.#plan.trainable
      .filter((_, i) => !Number.isFinite((squares!.data as Float32Array)[i]))
      .map(({ name }) => name)
    if (bad.length === 0 && (options.accept?.(report) ?? true)) this.#buffers.advance(results.tensors)
    else this.#buffers.discard(results.tensors)
    if (bad.length > 0) throw notFinite(bad, options.step)
    return report
  }

  /** The parameters under their names, wherever they are; valid until the next step. */
  get parameterFeeds(): Tensors {
    const { feeds } = this.#buffers
    return Object.fromEntries(this.#plan.trainable.map(({ name }) => [name, feeds[name]!]))
  }

  /** Parameters and moments as they are now. On the CPU these are views, valid until the next step. */
  async readState(): Promise<Required<TrainState>> {
    const tensors = this.#runtime.device === 'cpu' ? this.#buffers.feeds : await this.#readBack()
    const arrays = (kind: (typeof kinds)[number]): Arrays =>
      new Map(this.#plan.trainable.map(({ name }) => [name, tensors[inputName(kind, name)]!.data as Float32Array]))
    return { parameters: arrays('parameters'), m: arrays('m'), v: arrays('v') }
  }

  /** Frees native memory; no step can be run afterwards. */
  async dispose(): Promise<void> {
    const s = this.#sessions
    this.#buffers.dispose()
    if ('sums' in s) s.sums.dispose()
    await Promise.all(('step' in s ? [s.step] : [s.gradient, s.update]).map((session) => session.dispose()))
  }

  /** By a session whose outputs are on the CPU: the engine has no other way that works on all platforms. */
  async #readBack(): Promise<Tensors> {
    const places = statePlaces(this.#plan)
    const session = await this.#runtime.createSession(readBackGraph(places))
    const out = await session.run(this.#buffers.feeds)
    await session.dispose()
    return Object.fromEntries(places.map(({ name }) => [name, out[nextName(name)]!]))
  }

  async #compute(batches: readonly Tensors[], scalars: Tensors): Promise<{ loss: number; tensors: Tensors }> {
    const sessions = this.#sessions
    const buffers = this.#buffers
    if ('step' in sessions) {
      const tensors = await sessions.step.run({ ...buffers.feeds, ...batches[0]!, ...scalars }, buffers.outputs)
      return { loss: Number(tensors.loss!.data[0]), tensors }
    }
    const { gradient, update, sums } = sessions
    const parameters = this.parameterFeeds
    let loss = 0
    sums.clear()
    for (const batch of batches) {
      const out = await gradient.run({ ...parameters, ...sums.feeds, ...batch }, sums.outputs)
      loss += Number(out.loss!.data[0])
      sums.advance(out)
    }
    return { loss, tensors: await update.run({ ...buffers.feeds, ...sums.feeds, ...scalars }, buffers.outputs) }
  }
}

function notFinite(bad: readonly string[], step: number): Error {
  const others = bad.length > 1 ? `, and so are those of ${bad.length - 1} more parameters` : ''
  return runtimeError(
    `step ${step}: the gradient of ${bad[0]} is infinite or not a number${others}; nothing was changed. ` +
      'Look at the initial values and at the data of this step, or lower the learning rate',
    { tensor: bad[0]!, expected: 'finite gradients', found: bad },
  )
}

const kinds = ['parameters', 'm', 'v'] as const

const inputName = (kind: (typeof kinds)[number], name: string): string => (kind === 'parameters' ? name : momentName(kind, name))

/** Parameters, m and v under the names of the graph's inputs. */
const statePlaces = (plan: TrainPlan): Place[] =>
  kinds.flatMap((kind) => plan.trainable.map(({ name, shape }) => ({ name: inputName(kind, name), shape })))

function stateBuffers(plan: TrainPlan, state: TrainState, onDevice: boolean): Buffers {
  const data = new Map<string, Float32Array | undefined>()
  for (const { name, shape } of plan.trainable) {
    for (const kind of kinds) {
      const array = state[kind]?.get(name)
      const expected = elementCount(shape)
      const found = array?.length ?? (kind === 'parameters' ? 0 : expected)
      if (found !== expected) {
        throw usageError(`training state: ${kind} of ${name} has ${found} elements, expected ${expected}`, {
          tensor: name,
          expected,
          found,
        })
      }
      data.set(inputName(kind, name), array)
    }
  }
  return new Buffers(statePlaces(plan), onDevice, (name) => data.get(name))
}
