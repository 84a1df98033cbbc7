/**
 * A training run: stages, steps, evaluation. It knows neither files nor terminals: who drives it (parscale/src/train)
 * decides when to evaluate, save and show. All that a run computes follows from its configuration, its data and the number
 * of the step, so a run that goes on from a saved state goes on as if it had never stopped.
 */
import { usageError } from '../../errors.ts'
import { backboneParameters, type FindWeight, type ModelConfig, type Parameter, streamParameters } from '../../model/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { type DataBatch, documentDomains, type TokenFile, type TrainingBatches, trainingBatches } from '../data/index.ts'
import { initialParameters } from '../start/initial-parameters.ts'
import { mergePrefixes, prefixMlpParameters } from '../start/prefix-mlp.ts'
import { textPieces, textPrefixes } from '../start/text-prefixes.ts'
import type { TrainPlan } from '../step/graphs.ts'
import { LossEvaluation } from '../step/loss-evaluation.ts'
import { isSpike, noLosses, withLoss, withSpike } from '../step/loss-spikes.ts'
import { countOf, type Evaluation, sequenceLosses } from '../step/sequence-losses.ts'
import { type Stepper, type TrainState, TrainStep } from '../step/train-step.ts'
import { ParallelStep } from '../workers/parallel-step.ts'
import { alone, type Workers } from '../workers/workers.ts'
import { type RunConfig, type Stage, smoothingAt, stageSchedule, stageStreams } from './run-config.ts'
import type { TrainerPosition } from './saved-run.ts'
import { learningRate } from './schedules.ts'

/** What a run works on. */
export interface TrainerInputs {
  readonly runtime: Runtime
  readonly config: RunConfig
  /** The backbone; its own streams, where a base has some, are continued if P and kind agree. */
  readonly backbone: ModelConfig
  readonly tied: boolean
  /** Weights of the base, for what is frozen. */
  readonly frozen: FindWeight
  /** Values of the base; undefined for what it does not have. */
  readonly stored: (parameter: Parameter) => Promise<Float32Array | undefined>
  readonly train: TokenFile
  readonly heldOut: TokenFile
  /** The processes that take the steps together, each with the same inputs. Default: this one alone. */
  readonly workers?: Workers | undefined
}

export interface SavedState extends Required<TrainState> {
  readonly position: TrainerPosition
}

export interface StepRecord {
  readonly step: number
  readonly p: number
  readonly loss: number
  readonly gradNorm: number
  readonly learningRate: number
  /** Predicted so far, over the run. */
  readonly tokens: number
  /** The step was left out: its loss is far above the others, or (then 0) none of its tokens counts. */
  readonly skipped: boolean
}

/** Where a run's steps are: the stage of step number `step` (from 0), and its first step. */
export function stageAt({ stages }: RunConfig, step: number): { index: number; stage: Stage; start: number } {
  let start = 0
  for (const [index, stage] of stages.entries()) {
    if (step < start + stage.steps || index === stages.length - 1) return { index, stage, start }
    start += stage.steps
  }
  throw new Error('a run has at least one stage')
}

export const totalSteps = ({ stages }: RunConfig): number => stages.reduce((sum, { steps }) => sum + steps, 0)

/** Whether passes are summed in a tree: with several, on the CPU, unless the run is of an earlier version. */
export const sumsInTree = ({ batch }: Pick<RunConfig, 'batch'>, runtime: Pick<Runtime, 'device'>): boolean =>
  batch.microBatches > 1 && batch.gradientSum === 'tree' && runtime.device === 'cpu'

/** @throws usage error where a run cannot be shared by so many workers: which flag to change */
export function requireShareable({ batch }: Pick<RunConfig, 'batch'>, runtime: Pick<Runtime, 'device'>, workers: number): void {
  if (workers === 1) return
  const { sequences, microBatches, gradientSum } = batch
  if (runtime.device !== 'cpu')
    throw usageError(
      `${workers} workers: they train on CPUs, not on ${runtime.device}; leave out --device, or start one worker`,
      {
        flag: 'device',
      },
    )
  if (microBatches < workers) {
    const all = sequences * microBatches
    const advice =
      all % workers === 0
        ? `give --micro-batches ${workers} and --batch-size ${all / workers}, which makes the same batch`
        : `raise --micro-batches to ${workers} at least`
    throw usageError(
      `${workers} workers share the passes of a step, but there ${microBatches === 1 ? 'is 1' : `are ${microBatches}`} (--micro-batches); ${advice}, or start fewer workers`,
      { flag: 'micro-batches', expected: workers, found: microBatches },
    )
  }
  if (gradientSum !== 'tree')
    throw usageError(
      `${workers} workers: this run adds gradients one pass after the other (batch.gradientSum sequence), which one worker alone can do; go on with one`,
      { flag: 'batch.gradientSum', found: gradientSum },
    )
}

/** What a stage trains: what its checkpoints have. */
export function trainedParameters(
  { config, backbone, tied }: Pick<TrainerInputs, 'config' | 'backbone' | 'tied'>,
  stage: Stage,
): Parameter[] {
  const model: ModelConfig = { ...backbone, parscale: stageStreams(config, stage) }
  const prefixMlp = madeBy(config, model)
  return [
    ...(stage.train === 'all' ? backboneParameters(model, tied) : []),
    ...streamParameters(model).filter(({ name }) => prefixMlp === undefined || !isPrefix(name)),
    ...(prefixMlp === undefined ? [] : prefixMlpParameters(model, prefixMlp)),
  ]
}

/** Width of the network that makes a model's prefixes; undefined where none does. */
const madeBy = ({ streams: { prefixMlp } }: RunConfig, { parscale }: ModelConfig): number | undefined =>
  parscale.input.includes('prefix') ? (prefixMlp ?? undefined) : undefined

/** What a stage trains, as a plan for its graphs. */
export function stagePlan(inputs: Pick<TrainerInputs, 'config' | 'backbone' | 'tied' | 'frozen'>, stage: Stage): TrainPlan {
  const { config, backbone, tied, frozen } = inputs
  const model: ModelConfig = { ...backbone, parscale: stageStreams(config, stage) }
  const { betas, epsilon, weightDecay, aggregatorRate, streamRate, maxGradNorm } = config.optimizer
  const prefixMlp = madeBy(config, model)
  return {
    config: model,
    tied,
    trainable: trainedParameters(inputs, stage),
    ...(prefixMlp !== undefined && { prefixMlp }),
    frozen,
    shape: { sequences: config.batch.sequences, tokens: config.batch.tokens },
    optimizer: { betas, epsilon, weightDecay, aggregatorRate, streamRate, maxGradNorm: maxGradNorm ?? Infinity },
    documentMask: !config.data.crossDocuments,
    aids: { ...config.aids, smoothing: config.streams.finalSmoothing !== null },
    seed: config.seed,
  }
}

/** With what the plan takes from the data: which stream each document is of, where an aid needs it. */
async function dataPlan(inputs: TrainerInputs, stage: Stage): Promise<TrainPlan> {
  const plan = stagePlan(inputs, stage)
  const { aids, seed } = inputs.config
  if (aids.domainStreams === 0 || stage.p === 1) return plan
  return { ...plan, domains: await documentDomains(inputs.train, stage.p, seed) }
}

const isPrefix = (name: string): boolean => /\.prefix_[kv]$/.test(name)

/** The trained parameters as a model's files have them: prefixes that a network made are merged, on the engine that trained. */
export async function modelParameters(
  runtime: Runtime,
  { config, prefixMlp }: Pick<TrainPlan, 'config' | 'prefixMlp'>,
  parameters: ReadonlyMap<string, Float32Array>,
): Promise<ReadonlyMap<string, Float32Array>> {
  if (prefixMlp === undefined) return parameters
  const network = new Set(prefixMlpParameters(config, prefixMlp).map(({ name }) => name))
  const others = [...parameters].filter(([name]) => !network.has(name))
  return new Map([...others, ...(await mergePrefixes(runtime, config, prefixMlp, parameters))])
}

/** A training run: stages, steps, evaluation. Its caller saves and logs. */
export class Trainer {
  readonly #inputs: TrainerInputs
  readonly #batches: TrainingBatches
  #stage: number
  #plan: TrainPlan
  #step: Stepper
  #evaluation: LossEvaluation | undefined
  #position: TrainerPosition
  /** The next step's batches, which are being read. */
  #ahead: { readonly step: number; readonly batches: Promise<DataBatch[]> } | undefined

  private constructor(inputs: TrainerInputs, plan: TrainPlan, step: Stepper, position: TrainerPosition) {
    const { config, train } = inputs
    const { batch, data, seed } = config
    this.#inputs = inputs
    this.#batches = trainingBatches(train, { batchSize: batch.sequences, tokens: batch.tokens, packing: data.packing, seed })
    this.#plan = plan
    this.#step = step
    this.#stage = position.stage
    this.#position = position
  }

  /**
   * @param saved where to go on; absent: from the beginning. Of several workers only the first one's arrays are read
   * @throws usage error for data that do not fit the model, or a state that does not fit the configuration
   */
  static async create(inputs: TrainerInputs, saved?: SavedState): Promise<Trainer> {
    const position = saved?.position ?? { step: 0, stage: 0, updates: 0, tokens: 0, losses: noLosses }
    const stage = inputs.config.stages[position.stage]
    if (!stage) throw usageError(`saved state: stage ${position.stage} is not one of the run's ${inputs.config.stages.length}`)
    const plan = await dataPlan(inputs, stage)
    const step = await createStepper(inputs, plan, async () => saved ?? { parameters: await startingParameters(inputs, plan) })
    return new Trainer(inputs, plan, step, position)
  }

  get position(): TrainerPosition {
    return this.#position
  }

  get finished(): boolean {
    return this.#position.step >= totalSteps(this.#inputs.config)
  }

  /** The model as it is trained now. */
  get plan(): TrainPlan {
    return this.#plan
  }

  /** Takes the next step, and enters the next stage before it where one begins. */
  async step(): Promise<StepRecord> {
    const { config } = this.#inputs
    const { step: before, tokens } = this.#position
    const { index, stage, start } = stageAt(config, before)
    if (index !== this.#stage) await this.#enter(index)
    const { losses } = this.#position
    const batches = await (this.#ahead?.step === before ? this.#ahead.batches : this.#read(before))
    this.#ahead = undefined
    if (before + 1 < totalSteps(config)) {
      // Read while this step is computed. What goes wrong is said by the step that needs it.
      const next = this.#read(before + 1)
      next.catch(() => {})
      this.#ahead = { step: before + 1, batches: next }
    }
    const rate = learningRate(stageSchedule(stage), before - start + 1)
    const counted = batches.reduce((sum, { weights }) => sum + countOf(weights!), 0)
    if (counted === 0) {
      // Pieces of long conversations in which nobody answers: there is nothing to learn from.
      this.#position = { ...this.#position, step: before + 1, stage: index }
      return { step: before + 1, p: stage.p, loss: 0, gradNorm: 0, learningRate: rate, tokens, skipped: true }
    }
    const { skipSpikes } = config.optimizer
    let skipped = false
    const report = await this.#step.run(batches, {
      learningRate: rate,
      step: this.#position.updates + 1,
      firstPass: before * batches.length,
      smoothing: smoothingAt(config, before),
      accept: ({ loss }) => {
        skipped = skipSpikes !== null && isSpike(losses, loss, skipSpikes)
        return !skipped
      },
    })
    this.#position = {
      step: before + 1,
      stage: index,
      updates: this.#position.updates + Number(!skipped),
      tokens: tokens + counted,
      losses: skipped ? withSpike(losses, skipSpikes!) : withLoss(losses, report.loss),
    }
    const { loss, gradNorm } = report
    return { step: before + 1, p: stage.p, loss, gradNorm, learningRate: rate, tokens: this.#position.tokens, skipped }
  }

  async #read(step: number): Promise<DataBatch[]> {
    const { microBatches } = this.#inputs.config.batch
    const batches: DataBatch[] = []
    for (let i = 0; i < microBatches; i++) batches.push(await this.#batches.batch(step * microBatches + i))
    return batches
  }

  /** Held-out loss, on so many sequences or all. */
  async evaluate(limit = Infinity, signal?: AbortSignal): Promise<Evaluation> {
    const { runtime, heldOut, config, workers } = this.#inputs
    this.#evaluation ??= await LossEvaluation.create(runtime, this.#plan)
    const { packing } = config.data
    return await sequenceLosses(this.#evaluation, this.#step.parameterFeeds, heldOut, this.#plan.shape, {
      packing,
      limit,
      signal,
      workers,
    })
  }

  /** The parameters as they are now. Arrays may be views: valid until the next step. */
  readParameters(): Promise<ReadonlyMap<string, Float32Array>> {
    return this.#step.readParameters()
  }

  /**
   * All that is needed to go on. Arrays may be views: valid until the next step. Several workers call it together; the first one has the
   * moments then.
   */
  async save(): Promise<SavedState> {
    return { ...(await this.#step.readState()), position: this.#position }
  }

  async dispose(): Promise<void> {
    await this.#ahead?.batches.catch(() => {})
    await this.#evaluation?.dispose()
    await this.#step.dispose()
  }

  /** Carries parameters and moments over to a stage with other streams or another backbone; what is new starts anew. */
  async #enter(index: number): Promise<void> {
    const { config } = this.#inputs
    const plan = await dataPlan(this.#inputs, config.stages[index]!)
    const old = await this.#step.readState()
    const kept = plan.trainable.filter(({ name }) => old.parameters.has(name))
    const step = await createStepper(this.#inputs, plan, async () => {
      const parameters = await startingParameters(this.#inputs, plan, pick(old.parameters, kept))
      return { parameters, m: pick(old.m, kept), v: pick(old.v, kept) }
    })
    await this.dispose()
    this.#evaluation = undefined
    this.#plan = plan
    this.#step = step
    this.#stage = index
    // Losses of another model are no measure for this one's. Moments that have seen nothing need the correction of a first update.
    this.#position = { ...this.#position, losses: noLosses, ...(kept.length === 0 && { updates: 0 }) }
  }
}

/** @param state called by the first worker, which gives it to the others */
async function createStepper(inputs: TrainerInputs, plan: TrainPlan, state: () => Promise<TrainState>): Promise<Stepper> {
  const { runtime, config, workers = alone } = inputs
  const { microBatches } = config.batch
  requireShareable(config, runtime, workers.size)
  if (!sumsInTree(config, runtime)) return await TrainStep.create(runtime, plan, await state(), microBatches)
  return await ParallelStep.create(runtime, plan, workers.rank === 0 ? await state() : undefined, microBatches, workers)
}

const pick = (arrays: ReadonlyMap<string, Float32Array>, parameters: readonly Parameter[]): Map<string, Float32Array> =>
  new Map(parameters.map(({ name }) => [name, arrays.get(name)!]))

/** Of everything trained: what the run has learned; else the base's value where it has one of this shape; else an initial one. */
async function startingParameters(
  { config, stored, runtime, train, frozen }: TrainerInputs,
  plan: TrainPlan,
  learned: ReadonlyMap<string, Float32Array> = new Map(),
): Promise<Map<string, Float32Array>> {
  const parameters = new Map(learned)
  const missing: Parameter[] = []
  for (const parameter of plan.trainable) {
    if (learned.has(parameter.name)) continue
    const values = await stored(parameter)
    if (values) parameters.set(parameter.name, values)
    else missing.push(parameter)
  }
  const { seed } = config
  const { init } = config.streams
  const fromText = init === 'text'
  const std = config.shape ? { std: config.shape.initializerRange } : {}
  const drawn = initialParameters(missing, plan.config, { seed, init: fromText ? 'random' : init, ...std })
  for (const [name, values] of drawn) parameters.set(name, values)
  const prefixes = missing.filter(({ name }) => isPrefix(name))
  if (fromText && prefixes.length > 0) {
    const { n, nTokens } = plan.config.parscale
    const pieces = await textPieces(train, n, nTokens, seed)
    const texts = await textPrefixes(runtime, { config: plan.config, trained: parameters, frozen }, pieces)
    for (const { name } of prefixes) parameters.set(name, texts.get(name)!)
  }
  return parameters
}
