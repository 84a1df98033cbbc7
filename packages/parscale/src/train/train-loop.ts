/**
 * The loop around a Trainer: when to evaluate, save, log and stop. At each step what is due comes in a fixed order, and the
 * checkpoint last, so that a run resumed from it repeats nothing and leaves nothing out.
 */
import { runtimeError } from '@parscale/core/internal'
import type { Diagnosis } from '@parscale/core/internal/evaluation'
import type { RunFolder } from '@parscale/core/internal/node'
import {
  type Evaluation,
  type RunConfig,
  type SavedRun,
  type StepRecord,
  stageAt,
  type Trainer,
  totalSteps,
} from '@parscale/core/internal/training'
import type { Io } from '../terminal/io.ts'
import { type Speed, stepLine, stepNotes } from './train-report.ts'
import type { Team } from './workers/join-workers.ts'

/** Where a run is written; nowhere by the workers behind the first. */
export type RunWriter = Pick<RunFolder, 'log' | 'sample' | 'saveCheckpoint'>
export const nowhere: RunWriter = { log: async () => {}, sample: async () => {}, saveCheckpoint: async () => {} }

/** What the model of the moment writes, and how its streams do. */
export interface Inspection {
  readonly sample?: string
  readonly diagnosis?: Diagnosis
}

export interface LoopOptions {
  readonly io: Io
  readonly config: RunConfig
  readonly trainer: Trainer
  readonly folder: RunWriter
  readonly team: Team
  /** Saved with checkpoints, to know data and backbone again. */
  readonly data: SavedRun['data']
  /** Floating point operations of a step's matrix products. */
  readonly stepFlops: () => number
  /** Looks at the model as it is now. */
  readonly inspect: () => Promise<Inspection>
  /** Where the run was when it was saved; absent: at its beginning. */
  readonly resumed?: LoopState | undefined
  /** Called when a checkpoint is on disk. */
  readonly saved?: (() => Promise<void>) | undefined
  /** Asked after each step: whether somebody wants a checkpoint. */
  readonly checkpointAsked: () => boolean
  /** The step at which the run is evaluated, saved and left, to go on later or not. */
  readonly pauseAt?: number | undefined
}

/** What the loop saves besides the trainer's own state. */
export type LoopState = SavedRun['loop']

export interface LoopResult {
  /** False: stopped before the end; the last checkpoint has everything. */
  readonly finished: boolean
  readonly evaluation: Evaluation | undefined
  readonly trainingSeconds: number
}

/** Runs until the end or until `io.signal` is aborted. */
export async function trainLoop(options: LoopOptions): Promise<LoopResult> {
  const { io, config, trainer, folder, team } = options
  const total = totalSteps(config)
  const progress = io.progress('training', 'steps')
  let { evaluatedAt, trainingSeconds } = options.resumed ?? { evaluatedAt: -1, trainingSeconds: 0 }
  let savedAt = options.resumed ? trainer.position.step : -1
  let evaluation: Evaluation | undefined
  let pace = 0

  const save = async (loss?: number) => {
    const { step } = trainer.position
    const { parameters, m, v, position } = await trainer.save()
    const state = { position, loop: { evaluatedAt, trainingSeconds }, data: options.data } satisfies SavedRun
    await folder.saveCheckpoint({
      step,
      state,
      tensors: trainer.plan.trainable,
      parameters,
      m,
      v,
      ...(loss !== undefined && { loss }),
    })
    savedAt = step
    await options.saved?.()
  }

  try {
    for (;;) {
      const { step } = trainer.position
      const ended = trainer.finished
      const [asked] = await team.consult(options.checkpointAsked())
      const paused = options.pauseAt !== undefined && step >= options.pauseAt
      if (!io.signal.aborted && evaluatedAt !== step && (paused || isDue(config, step, config.evaluation.every))) {
        evaluation = await evaluate(options, ended)
        if (evaluation) evaluatedAt = step
      }
      if (
        savedAt !== step &&
        (ended || paused || io.signal.aborted || asked || (step > 0 && isDue(config, step, config.checkpoint.every)))
      ) {
        await save(evaluatedAt === step && evaluation ? lossToCompare(config, evaluation) : undefined)
        if (asked) io.stderr(`step ${step}: checkpoint written, as asked\n`)
      }
      if (ended || paused || io.signal.aborted) return { finished: ended, evaluation, trainingSeconds }

      const begin = performance.now()
      const record = await trainer.step()
      const seconds = (performance.now() - begin) / 1000
      trainingSeconds += seconds
      pace = pace === 0 ? seconds : 0.9 * pace + 0.1 * seconds
      const speed = speedOf(options, pace)
      await folder.log({ kind: 'train', ...figures(record), seconds })
      progress.update(record.step, total, stepNotes(record, speed))
      if (!io.isTTY.stderr && (record.step % config.logEvery === 0 || record.step === total || record.skipped)) {
        io.stderr(`${stepLine(record, total, speed, (total - record.step) * pace)}\n`)
      }
      // The engine computes on this thread: let signals in.
      await new Promise(setImmediate)
    }
  } finally {
    progress.end()
  }
}

/** At the beginning, at every n-th step, at the ends of stages, and at the end. */
function isDue(config: RunConfig, step: number, every: number): boolean {
  const { start } = stageAt(config, step)
  return step === start || step === totalSteps(config) || (every > 0 && step % every === 0)
}

async function evaluate(options: LoopOptions, ended: boolean): Promise<Evaluation | undefined> {
  const { io, trainer, folder, config } = options
  const { step } = trainer.position
  try {
    const evaluation = await trainer.evaluate(ended ? Infinity : config.evaluation.sequences, io.signal)
    const { loss, tokens } = evaluation
    const { sample, diagnosis } = await look(options)
    await folder.log({ kind: 'evaluation', step, loss, tokens })
    io.stderr(`step ${step}: held-out loss ${loss.toFixed(4)} on ${tokens} tokens\n`)
    requireFiniteLoss(loss, step)
    if (diagnosis) {
      await folder.log({ kind: 'streams', step, ...streamFigures(diagnosis) })
      io.stderr(`  ${streamText(diagnosis)}\n`)
    }
    // Streams begin nearly alike: before the rate has been at its peak that is no news.
    const { stage, start } = stageAt(config, Math.max(0, step - 1))
    const alarms = step - start > stage.warmupSteps ? (diagnosis?.alarms ?? []) : []
    for (const { message } of alarms) {
      await folder.log({ kind: 'alarm', step, message })
      io.stderr(`  warning: ${message}\n`)
    }
    if (sample !== undefined) {
      await folder.sample({ step, prompt: config.sample.prompt, text: sample })
      io.stderr(`  sample: ${JSON.stringify(`${config.sample.prompt}${sample}`)}\n`)
    }
    return evaluation
  } catch (error) {
    if (io.signal.aborted) return undefined // done when the run goes on
    throw error
  }
}

/** What diverged at a step that nobody follows would be saved, and exported, as what was trained. */
function requireFiniteLoss(loss: number, step: number): void {
  if (Number.isFinite(loss)) return
  const advice =
    step === 0
      ? 'the model to start from gives no numbers; take another, or --reset-streams'
      : 'training diverged, and this step is not saved; begin a new run with a lower rate (--learning-rate, --stream-rate, --aggregator-rate)'
  throw runtimeError(`step ${step}: the held-out loss is ${loss}: ${advice}`, { expected: 'a finite loss', found: loss })
}

/** On the sequences that every evaluation of the run has: the last one has more, which would decide what checkpoint is best. */
function lossToCompare(config: RunConfig, { sequences }: Evaluation): number {
  const compared = sequences.slice(0, config.evaluation.sequences)
  const sum = (field: 'nats' | 'tokens') => compared.reduce((total, each) => total + each[field], 0)
  return sum('nats') / sum('tokens')
}

/** A look that fails (a full disk, too little memory) is no reason to stop training. */
async function look({ io, inspect }: LoopOptions): Promise<Inspection> {
  try {
    return await inspect()
  } catch (error) {
    if (io.signal.aborted) throw error
    io.stderr(`  warning: no sample and no diagnosis: ${error instanceof Error ? error.message : String(error)}\n`)
    return {}
  }
}

const figures = ({ skipped, ...rest }: StepRecord) => ({ ...rest, skipped: Number(skipped) })

/** On the diagnosis' own tokens, so that they compare with each other and not with the held-out loss. */
const streamFigures = ({ p, tokens, losses, correlation, disagreement, weights }: Diagnosis) => ({
  tokens,
  loss: losses.aggregate,
  averageLoss: losses.average.loss,
  bestStreamLoss: Math.min(...losses.streams.map(({ loss }) => loss)),
  ensembleLoss: losses.ensemble.loss,
  predictedLoss: correlation.predictedLoss,
  streamLosses: losses.streams.map(({ loss }) => loss),
  rho: correlation.meanRho,
  // Over the pairs; a stream agrees with itself.
  disagreement: disagreement.flat().reduce((sum, share) => sum + share, 0) / (p * (p - 1)),
  knockOutCost: Math.max(...losses.withoutStream.map(({ difference }) => difference)),
  weightEntropy: weights.entropy,
  weightDeviation: weights.deviation.reduce((sum, x) => sum + x, 0) / p,
  leadingShare: Math.max(...weights.leads),
})

const streamText = ({ tokens, losses, correlation }: Diagnosis): string =>
  `streams on the first ${tokens}: together ${losses.aggregate.toFixed(3)}, alone ${losses.streams.map(({ loss }) => loss.toFixed(3)).join(' ')}; rho ${correlation.meanRho.toFixed(4)}`

function speedOf({ config, stepFlops }: LoopOptions, seconds: number): Speed {
  const { sequences, tokens, microBatches } = config.batch
  return { tokensPerSecond: (sequences * tokens * microBatches) / seconds, gflopPerSecond: stepFlops() / seconds / 1e9 }
}
