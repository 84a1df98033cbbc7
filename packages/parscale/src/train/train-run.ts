/** One `parscale train`: a new run or one that goes on, from configuration to the model's folder. */
import { basename, join } from 'node:path'
import { diskError, RunFolder, readRun, removeFolder, runAdvice, writeWholeFile } from '@parscale/core/internal/node'
import type { Runtime } from '@parscale/core/internal/runtime'
import {
  type Evaluation,
  type FinalEvaluation,
  parseRunConfig,
  parseSavedRun,
  type RunConfig,
  stageAt,
  stepFlops,
  Trainer,
  totalSteps,
} from '@parscale/core/internal/training'
import { exportRuns } from '../export/export-runs.ts'
import { openRun } from '../export/open-run.ts'
import type { Io } from '../terminal/io.ts'
import { formatAmount, formatSeconds } from '../terminal/progress.ts'
import { type CheckpointSignal, checkpointSignal } from './checkpoint-signal.ts'
import { inspectModel } from './inspect-model.ts'
import { showLosses } from './loss-picture.ts'
import { dataMark, introduce, requireSameData } from './run-checks.ts'
import { isFrozen, openRunInputs, type RunInputs, writeTokenizer } from './run-inputs.ts'
import { type LoopState, trainLoop } from './train-loop.ts'

export interface TrainResult {
  readonly run: string
  readonly model: string
  /** Of the streams, where they were trained for a frozen model. */
  readonly base?: string
  /** Streams of what was trained. */
  readonly p: number
  readonly steps: number
  readonly tokens: number
  readonly heldOutLoss: number
  readonly trainingSeconds: number
}

/** Begins a run in a new folder. `dryRun`: stops before the first step, and leaves nothing. */
export async function startRun(
  io: Io,
  runtime: Runtime,
  config: RunConfig,
  out: string,
  dryRun: boolean,
): Promise<TrainResult | undefined> {
  // Before data are read, which may take long.
  if (!dryRun) await RunFolder.refuseTaken(out)
  const asked = checkpointSignal()
  const inputs = await openRunInputs(io, runtime, config)
  try {
    introduce(io, inputs)
    const trainer = await Trainer.create(inputs)
    try {
      if (dryRun) return undefined
      const folder = await RunFolder.create(out, config, {
        keepCheckpoints: config.checkpoint.keep,
        prepare: (path) => writeTokenizer(join(path, tokenizerFolder), inputs.tokenizerFiles),
      })
      return await train({ io, inputs, trainer, folder, asked })
        .catch(told(folder))
        .finally(() => folder.close())
    } finally {
      await trainer.dispose()
    }
  } finally {
    await inputs.close()
    asked.stop()
  }
}

/** Goes on with a run from its last whole checkpoint, or from the beginning where it has none. */
export async function resumeRun(io: Io, runtime: Runtime, path: string): Promise<TrainResult> {
  const { config: stored, path: runPath } = await readRun(path)
  const config = parseRunConfig(stored, join(runPath, 'config.json'))
  const asked = checkpointSignal()
  const folder = await RunFolder.open(path, { keepCheckpoints: config.checkpoint.keep })
  try {
    const inputs = await openRunInputs(io, runtime, config, join(folder.path, tokenizerFolder))
    try {
      introduce(io, inputs)
      // Before anything later than a checkpoint is dropped.
      const newest = (await folder.checkpoints.list()).at(-1)
      if (newest) {
        const { data } = parseSavedRun(newest.state, newest.path)
        requireSameData(folder.path, data, await dataMark(inputs, io.signal))
      }
      const checkpoint = await folder.resume((message) => io.stderr(`warning: ${message}\n`))
      const saved = checkpoint && parseSavedRun(checkpoint.state, `${folder.path}: checkpoint of step ${checkpoint.step}`)
      io.stderr(`${resumeText(saved?.position.step, totalSteps(config))}\n`)
      const state = checkpoint &&
        saved && { parameters: checkpoint.parameters, m: checkpoint.m, v: checkpoint.v, position: saved.position }
      const trainer = await Trainer.create(inputs, state)
      return await train({ io, inputs, trainer, folder, asked, resumed: saved?.loop }).finally(() => trainer.dispose())
    } finally {
      await inputs.close()
    }
  } catch (error) {
    return told(folder)(error)
  } finally {
    await folder.close()
    asked.stop()
  }
}

/** The disk of the run, whatever was written there. */
const told = (folder: RunFolder) => (error: unknown) => {
  throw diskError(error, folder.path, runAdvice)
}

function resumeText(step: number | undefined, total: number): string {
  if (step === undefined) return 'there is no checkpoint yet; beginning anew'
  return step < total ? `going on after step ${step}` : `all ${total} steps are taken already; evaluating and exporting once more`
}

const tokenizerFolder = 'tokenizer'

interface Training {
  readonly io: Io
  readonly inputs: RunInputs
  readonly trainer: Trainer
  readonly folder: RunFolder
  readonly asked: CheckpointSignal
  readonly resumed?: LoopState | undefined
}

async function train({ io, inputs, trainer, folder, asked, resumed }: Training): Promise<TrainResult> {
  const { config } = inputs
  const result = await trainLoop({
    io,
    config,
    trainer,
    folder,
    data: await dataMark(inputs, io.signal),
    stepFlops: flopsByStage(trainer, config),
    inspect: () => inspectModel(io, inputs, trainer, folder.path),
    resumed,
    checkpointAsked: asked.take,
  })
  const { step: steps, tokens } = trainer.position
  if (!result.finished || io.signal.aborted) {
    io.stderr(`stopped after step ${steps} of ${totalSteps(config)}; go on with: parscale train --resume ${folder.path}\n`)
    io.signal.throwIfAborted()
  }
  const evaluation = result.evaluation ?? (await trainer.evaluate(Infinity, io.signal))
  await writeEvaluation(folder.path, evaluation)
  const model = join(folder.path, isFrozen(inputs) ? 'streams' : 'model')
  await exportFinished(io, folder.path, model)
  await showLosses(io, folder.path)
  return {
    run: folder.path,
    model,
    ...(isFrozen(inputs) && { base: config.base! }),
    p: trainer.plan.config.parscale.n,
    steps,
    tokens,
    heldOutLoss: evaluation.loss,
    trainingSeconds: result.trainingSeconds,
  }
}

/** The run's last checkpoint as a model, as `parscale export` writes it; anew, where a run is finished once more. */
async function exportFinished(io: Io, run: string, out: string): Promise<void> {
  await removeFolder(out)
  const open = await openRun(run, 'last', io)
  try {
    await exportRuns([open], { out, name: basename(run), advice: runAdvice }, io)
  } finally {
    await open.close()
  }
}

/** The losses of all held-out sequences: what paired comparisons of runs need. */
async function writeEvaluation(run: string, { loss, tokens, sequences }: Evaluation): Promise<void> {
  const lines = {
    loss,
    tokens,
    nats: sequences.map(({ nats }) => nats),
    counts: sequences.map((each) => each.tokens),
    documents: sequences.map(({ document }) => document),
  } satisfies FinalEvaluation
  await writeWholeFile(join(run, 'evaluation.json'), new TextEncoder().encode(`${JSON.stringify(lines)}\n`), runAdvice)
}

/** Counted once per stage, as it takes building the graph. */
function flopsByStage(trainer: Trainer, config: RunConfig): () => number {
  const known = new Map<number, number>()
  return () => {
    const { index } = stageAt(config, Math.max(0, trainer.position.step - 1))
    if (!known.has(index)) known.set(index, stepFlops(trainer.plan, config.batch.microBatches))
    return known.get(index)!
  }
}

export function resultText({ model, base, p, steps, tokens, heldOutLoss, trainingSeconds }: TrainResult): string {
  // The model may have larger P of its own, and the largest is what runs unless one is named.
  const what = base === undefined ? model : `${base} --stream-set ${model} --p ${p}`
  return [
    `${steps} steps, ${formatAmount(tokens)} tokens, ${formatSeconds(trainingSeconds)} of training; held-out loss ${heldOutLoss.toFixed(4)} nats a token`,
    `${base === undefined ? 'the model' : 'the streams'}: ${model}`,
    `try it: parscale generate ${what} --prompt "Once upon a time"`,
    '',
  ].join('\n')
}
