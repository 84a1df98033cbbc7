/**
 * The training step and the state that it moves. Parameters and moments are fed as inputs and come out into a second set of
 * buffers; the sets swap when the step is taken, so one that is refused or fails leaves no trace. (One set would not do:
 * nothing orders the update of a parameter after its last reader.)
 */
import { runtimeError, usageError } from '../errors.ts'
import { elementCount } from '../model/index.ts'
import type { Runtime, Session } from '../runtime/index.ts'
import { lossFeeds, type TokenBatch } from './loss-feeds.ts'
import { adamWFeeds } from './optimizer.ts'
import { Buffers, type Tensors } from './train-step-buffers.ts'
import { gradientGraph, gradientName, momentName, stepGraph, type TrainPlan, updateGraph } from './train-step-graphs.ts'

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
  readonly #plan: TrainPlan
  readonly #microBatches: number
  readonly #sessions: Sessions
  readonly #feeds: ReturnType<typeof lossFeeds>
  readonly #buffers: Buffers

  private constructor(plan: TrainPlan, microBatches: number, sessions: Sessions, buffers: Buffers) {
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
    const buffers = stateBuffers(plan, state)
    if (microBatches === 1) return new TrainStep(plan, 1, { step: await runtime.createSession(stepGraph(plan)) }, buffers)
    const gradient = await runtime.createSession(gradientGraph(plan))
    const update = await runtime.createSession(updateGraph(plan))
    const sums = new Buffers(plan.trainable.map(({ name, shape }) => ({ name: gradientName(name), shape })))
    return new TrainStep(plan, microBatches, { gradient, update, sums }, buffers)
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
    this.#requireFinite(results.tensors.grad_squares!.data as Float32Array, options.step)
    const { grad_norm: norm, grad_scale: scale } = results.tensors
    const report = { loss: results.loss, gradNorm: Number(norm!.data[0]), gradScale: Number(scale!.data[0]) }
    if (options.accept?.(report) ?? true) this.#buffers.advance(results.tensors)
    return report
  }

  /** The parameters under their names, wherever they are; valid until the next step. */
  get parameterFeeds(): Tensors {
    const { feeds } = this.#buffers
    return Object.fromEntries(this.#plan.trainable.map(({ name }) => [name, feeds[name]!]))
  }

  /** Parameters and moments as they are now. On the CPU these are views, valid until the next step. */
  async readState(): Promise<Required<TrainState>> {
    const { feeds } = this.#buffers
    const arrays = (input: (name: string) => string): Arrays =>
      new Map(this.#plan.trainable.map(({ name }) => [name, feeds[input(name)]!.data as Float32Array]))
    return {
      parameters: arrays((name) => name),
      m: arrays((name) => momentName('m', name)),
      v: arrays((name) => momentName('v', name)),
    }
  }

  /** Frees native memory; no step can be run afterwards. */
  async dispose(): Promise<void> {
    const s = this.#sessions
    await Promise.all(('step' in s ? [s.step] : [s.gradient, s.update]).map((session) => session.dispose()))
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

  #requireFinite(squares: Float32Array, step: number): void {
    const bad = this.#plan.trainable.map(({ name }) => name).filter((_, i) => !Number.isFinite(squares[i]))
    if (bad.length === 0) return
    const others = bad.length > 1 ? `, and so are those of ${bad.length - 1} more parameters` : ''
    throw runtimeError(
      `step ${step}: the gradient of ${bad[0]} is infinite or not a number${others}; nothing was changed. ` +
        'Look at the initial values and at the data of this step, or lower the learning rate',
      { tensor: bad[0]!, expected: 'finite gradients', found: bad },
    )
  }
}

/** Parameters, m and v under the names of the graph's inputs. */
function stateBuffers(plan: TrainPlan, state: TrainState): Buffers {
  const data = new Map<string, Float32Array | undefined>()
  const places = plan.trainable.flatMap(({ name, shape }) => {
    const inputs = { parameters: name, m: momentName('m', name), v: momentName('v', name) }
    return (['parameters', 'm', 'v'] as const).map((kind) => {
      const array = state[kind]?.get(name)
      const found = array?.length ?? (kind === 'parameters' ? 0 : elementCount(shape))
      if (found !== elementCount(shape)) {
        throw usageError(`training state: ${kind} of ${name} has ${found} elements, expected ${elementCount(shape)}`, {
          tensor: name,
          expected: elementCount(shape),
          found,
        })
      }
      data.set(inputs[kind], array)
      return { name: inputs[kind], shape }
    })
  })
  return new Buffers(places, (name) => data.get(name))
}
