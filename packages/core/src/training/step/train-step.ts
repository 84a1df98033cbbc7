/**
 * The training step and the state that it moves: a run for loss and gradients, then AdamW. Nothing of the state is written
 * before the loss and the norm are known, so a step that is refused or fails leaves no trace.
 */
import { Tensor } from 'onnxruntime-common'
import { runtimeError, usageError } from '../../errors.ts'
import { elementCount } from '../../model/index.ts'
import type { Runtime, Session } from '../../runtime/index.ts'
import { smoothingName } from './aids.ts'
import { Buffers, type Place, type Tensors } from './buffers.ts'
import { gradientGraph, gradientName, momentName, nextName, readBackGraph, type TrainPlan } from './graphs.ts'
import { lossFeeds, type TokenBatch } from './loss-feeds.ts'
import { clipping } from './optimizer.ts'
import { passNoise } from './pass-noise.ts'
import { createUpdate, renewing, type Update } from './update.ts'

/** Arrays by parameter name. */
export type Arrays = ReadonlyMap<string, Float32Array>

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
  /** The number in the run, from 0, of the first of the step's passes: what dropout draws follows from it. Default: of steps from 1. */
  readonly firstPass?: number
  /** The aggregation's e in this step, where the plan's aids have it fed. Default: the configuration's. */
  readonly smoothing?: number
  /** Asked before the step is taken; false leaves parameters and moments as they were. Default: every step is taken. */
  readonly accept?: (report: StepReport) => boolean
}

/** What a training step reports: loss in nats a token, gradient norm, learning rate. */
export interface StepReport {
  /** Before the update, in nats. */
  readonly loss: number
  /** L2 norm over all gradients, before clipping. */
  readonly gradNorm: number
  /** What clipping multiplied the gradients by. */
  readonly gradScale: number
}

/** Takes the steps of a plan: alone (TrainStep), or in the order of a fixed tree, with other workers or without (ParallelStep). */
export interface Stepper {
  /** See TrainStep.run. */
  run(batches: readonly TokenBatch[], options: StepOptions): Promise<StepReport>
  /** The parameters under their names, wherever they are; valid until the next step. */
  readonly parameterFeeds: Tensors
  /** On the CPU these are views, valid until the next step. */
  readParameters(): Promise<Arrays>
  /** Parameters and moments as they are now. On the CPU these are views, valid until the next step. */
  readState(): Promise<Required<TrainState>>
  /** Frees native memory; no step can be run afterwards. */
  dispose(): Promise<void>
}

export class TrainStep implements Stepper {
  readonly #runtime: Runtime
  readonly #plan: TrainPlan
  readonly #microBatches: number
  readonly #feeds: ReturnType<typeof lossFeeds>
  readonly #noise: ReturnType<typeof passNoise>
  readonly #gradient: Session
  readonly #update: Update
  readonly #state: Buffers
  readonly #gradients: Buffers

  private constructor(
    runtime: Runtime,
    plan: TrainPlan,
    microBatches: number,
    gradient: Session,
    update: Update,
    state: Buffers,
  ) {
    this.#runtime = runtime
    this.#plan = plan
    this.#microBatches = microBatches
    this.#feeds = lossFeeds(plan)
    this.#noise = passNoise(plan, plan.seed ?? 0)
    this.#gradient = gradient
    this.#update = update
    this.#state = state
    const places = plan.trainable.map(({ name, shape }) => ({ name: gradientName(name), shape }))
    this.#gradients = new Buffers(places, runtime.device !== 'cpu')
  }

  /**
   * Compiles the plan's graphs and copies the state.
   *
   * @param microBatches batches of the plan's shape that make up one step: their gradients are summed. Default: 1
   * @throws usage error naming a trained parameter that the state lacks or has in another size
   */
  static async create(runtime: Runtime, plan: TrainPlan, state: TrainState, microBatches = 1): Promise<TrainStep> {
    const buffers = stateBuffers(plan, state, runtime.device !== 'cpu')
    const gradient = await runtime.createSession(...renewing(gradientGraph(plan, { accumulate: microBatches > 1 })))
    return new TrainStep(runtime, plan, microBatches, gradient, await createUpdate(runtime, plan), buffers)
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
    const { loss, squares } = await this.#computeGradients(batches, options)
    const bad = this.#plan.trainable.filter((_, i) => !Number.isFinite(squares[i])).map(({ name }) => name)
    if (bad.length > 0) throw notFinite(bad, options.step)
    const report = { loss, ...clipping(squares, this.#plan.optimizer.maxGradNorm) }
    if (options.accept?.(report) ?? true) {
      await this.#update.run(this.#state, this.#gradients, { ...options, gradScale: report.gradScale })
    }
    return report
  }

  /** The parameters under their names, wherever they are; valid until the next step. */
  get parameterFeeds(): Tensors {
    const { feeds } = this.#state
    return Object.fromEntries(this.#plan.trainable.map(({ name }) => [name, feeds[name]!]))
  }

  async readParameters(): Promise<Arrays> {
    return (await this.readState()).parameters
  }

  /** Parameters and moments as they are now. On the CPU these are views, valid until the next step. */
  async readState(): Promise<Required<TrainState>> {
    const tensors = this.#runtime.device === 'cpu' ? this.#state.feeds : await this.#readBack()
    const arrays = (kind: (typeof kinds)[number]): Arrays =>
      new Map(this.#plan.trainable.map(({ name }) => [name, tensors[inputName(kind, name)]!.data as Float32Array]))
    return { parameters: arrays('parameters'), m: arrays('m'), v: arrays('v') }
  }

  /** Frees native memory; no step can be run afterwards. */
  async dispose(): Promise<void> {
    this.#state.dispose()
    this.#gradients.dispose()
    await Promise.all([this.#gradient.dispose(), this.#update.dispose()])
  }

  /** By a session whose outputs are on the CPU: the engine has no other way that works on all platforms. */
  async #readBack(): Promise<Tensors> {
    const places = statePlaces(this.#plan)
    const session = await this.#runtime.createSession(readBackGraph(places))
    const out = await session.run(this.#state.feeds)
    await session.dispose()
    return Object.fromEntries(places.map(({ name }) => [name, out[nextName(name)]!]))
  }

  /** The gradients of all batches together, into their buffers; squares: of the norm of each. */
  async #computeGradients(
    batches: readonly TokenBatch[],
    options: StepOptions,
  ): Promise<{ loss: number; squares: Float32Array }> {
    const parameters = this.parameterFeeds
    const gradients = this.#gradients
    const accumulate = batches.length > 1
    const { firstPass = (options.step - 1) * batches.length } = options
    const smoothing = smoothingFeeds(this.#plan, options)
    if (accumulate) gradients.clear()
    let [loss, squares] = [0, new Float32Array()]
    for (const [i, batch] of this.#feeds(batches).entries()) {
      const feeds = {
        ...parameters,
        ...(accumulate ? gradients.feeds : {}),
        ...batch,
        ...smoothing,
        ...this.#noise(firstPass + i, batches[i]!),
      }
      const out = await this.#gradient.run(feeds, gradients.outputs)
      gradients.advance(out)
      loss += Number(out.loss!.data[0])
      squares = out.grad_squares!.data as Float32Array<ArrayBuffer>
    }
    return { loss, squares }
  }
}

/** The aggregation's e of a step, where the plan has it fed. */
export function smoothingFeeds({ aids, config }: TrainPlan, { smoothing }: StepOptions): Tensors {
  if (!aids?.smoothing || config.parscale.n === 1) return {}
  return { [smoothingName]: new Tensor('float32', Float32Array.of(smoothing ?? config.parscale.attnSmooth), [1]) }
}

export function notFinite(bad: readonly string[], step: number): Error {
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

/** @throws usage error naming a trained parameter that the state lacks or has in another size */
export function requireState(plan: TrainPlan, state: TrainState): void {
  for (const { name, shape } of plan.trainable) {
    for (const kind of kinds) {
      const expected = elementCount(shape)
      const found = state[kind]?.get(name)?.length ?? (kind === 'parameters' ? 0 : expected)
      if (found !== expected) {
        throw usageError(`training state: ${kind} of ${name} has ${found} elements, expected ${expected}`, {
          tensor: name,
          expected,
          found,
        })
      }
    }
  }
}

function stateBuffers(plan: TrainPlan, state: TrainState, onDevice: boolean): Buffers {
  requireState(plan, state)
  const data = new Map<string, Float32Array | undefined>()
  for (const { name } of plan.trainable) for (const kind of kinds) data.set(inputName(kind, name), state[kind]?.get(name))
  return new Buffers(statePlaces(plan), onDevice, (name) => data.get(name))
}
