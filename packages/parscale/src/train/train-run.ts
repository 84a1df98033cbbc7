/** One `parscale train`: a new run or one that goes on, from configuration to the model's folder. */
import { rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import process from 'node:process'
import { resourceError, usageError } from '@parscale/core'
import { backboneParameters, elementCount } from '@parscale/core/model'
import { RunFolder, readRun, type TrainingCheckpoint } from '@parscale/core/node'
import type { Runtime } from '@parscale/core/runtime'
import {
  type Evaluation,
  estimateTrainingMemory,
  parseRunConfig,
  type RunConfig,
  stageAt,
  stagePlan,
  stepFlops,
  Trainer,
  type TrainerPosition,
  totalSteps,
} from '@parscale/core/training'
import { evaluationBatches, trainingBatches } from '@parscale/core/training/data'
import { exportRuns } from '../export/export-runs.ts'
import { openRun } from '../export/open-run.ts'
import type { Io } from '../io.ts'
import { availableMemoryBytes } from '../load.ts'
import { formatAmount, formatSeconds } from '../progress.ts'
import { inspectModel } from './inspect-model.ts'
import { isFrozen } from './preview.ts'
import { openRunInputs, type RunInputs, writeTokenizer } from './run-inputs.ts'
import { type LoopState, trainLoop } from './train-loop.ts'
import { dataReport, type ModelFigures, modelReport } from './train-report.ts'

export interface TrainResult {
  readonly run: string
  readonly model: string
  /** Of the streams, where they were trained for a frozen model. */
  readonly base?: string
  readonly steps: number
  readonly tokens: number
  readonly heldOutLoss: number
  readonly trainingSeconds: number
}

/** What of the data has to be the same for a run to go on. */
type DataMark = Readonly<Record<string, number>>

interface SavedRun {
  readonly position: TrainerPosition
  readonly loop: LoopState
  readonly data: DataMark
}

/** Begins a run in a new folder. `dryRun`: stops before the first step, and leaves nothing. */
export async function startRun(
  io: Io,
  runtime: Runtime,
  config: RunConfig,
  out: string,
  dryRun: boolean,
): Promise<TrainResult | undefined> {
  // Before data are read, which may take long; RunFolder.create decides.
  if (!dryRun) await refuseRun(out)
  const inputs = await openRunInputs(io, runtime, config)
  try {
    introduce(io, inputs)
    if (dryRun) return undefined
    const folder = await RunFolder.create(out, config, {
      keepCheckpoints: config.checkpoint.keep,
      prepare: (path) => writeTokenizer(join(path, tokenizerFolder), inputs.tokenizerFiles),
    })
    try {
      return await train(io, inputs, folder, undefined)
    } finally {
      await folder.close()
    }
  } finally {
    await inputs.close()
  }
}

async function refuseRun(out: string): Promise<void> {
  const there = await readRun(out).catch(() => undefined)
  if (there)
    throw usageError(`${there.path} has a run already; go on with it: parscale train --resume ${out}, or choose another --out`, {
      flag: 'out',
      file: there.path,
    })
}

/** Goes on with a run from its last whole checkpoint, or from the beginning where it has none. */
export async function resumeRun(io: Io, runtime: Runtime, path: string): Promise<TrainResult> {
  const { config: stored, path: runPath } = await readRun(path)
  const config = parseRunConfig(stored, join(runPath, 'config.json'))
  const folder = await RunFolder.open(path, { keepCheckpoints: config.checkpoint.keep })
  try {
    const inputs = await openRunInputs(io, runtime, config, join(folder.path, tokenizerFolder))
    try {
      introduce(io, inputs)
      const checkpoint = await folder.resume((message) => io.stderr(`warning: ${message}\n`))
      io.stderr(checkpoint ? `going on after step ${checkpoint.step}\n` : 'there is no checkpoint yet; beginning anew\n')
      return await train(io, inputs, folder, checkpoint)
    } finally {
      await inputs.close()
    }
  } finally {
    await folder.close()
  }
}

const tokenizerFolder = 'tokenizer'

async function train(
  io: Io,
  inputs: RunInputs,
  folder: RunFolder,
  checkpoint: TrainingCheckpoint | undefined,
): Promise<TrainResult> {
  const { config } = inputs
  const data = dataMark(inputs)
  const saved = checkpoint?.state as unknown as SavedRun | undefined
  if (saved) requireSameData(folder.path, saved.data, data)
  const arrays = checkpoint && { parameters: checkpoint.parameters, m: checkpoint.m, v: checkpoint.v }
  const trainer = await Trainer.create(inputs, saved && arrays && { ...arrays, position: saved.position })
  const ask = checkpointSignal()
  try {
    const result = await trainLoop({
      io,
      config,
      trainer,
      folder,
      data,
      stepFlops: flopsByStage(trainer, config),
      inspect: async () => inspectModel(io, inputs, trainer, folder.path),
      resumed: saved?.loop,
      checkpointAsked: ask.take,
    })
    if (!result.finished) {
      io.stderr(
        `stopped after step ${trainer.position.step} of ${totalSteps(config)}; go on with: parscale train --resume ${folder.path}\n`,
      )
      io.signal.throwIfAborted()
    }
    const evaluation = result.evaluation ?? (await trainer.evaluate(Infinity, io.signal))
    await writeEvaluation(folder.path, evaluation)
    const model = join(folder.path, isFrozen(inputs) ? 'streams' : 'model')
    await exportFinished(io, folder.path, model)
    const { step: steps, tokens } = trainer.position
    return {
      run: folder.path,
      model,
      ...(isFrozen(inputs) && { base: config.base! }),
      steps,
      tokens,
      heldOutLoss: evaluation.loss,
      trainingSeconds: result.trainingSeconds,
    }
  } finally {
    ask.stop()
    await trainer.dispose()
  }
}

/** The run's last checkpoint as a model, as `parscale export` writes it; anew, where a run is finished once more. */
async function exportFinished(io: Io, run: string, out: string): Promise<void> {
  await rm(out, { recursive: true, force: true })
  const open = await openRun(run, 'last', io)
  try {
    await exportRuns([open], { out, name: basename(run) }, io)
  } finally {
    await open.close()
  }
}

/** The losses of all held-out sequences: what paired comparisons of runs need. */
async function writeEvaluation(run: string, { loss, tokens, sequences }: Evaluation): Promise<void> {
  const lines = { loss, tokens, nats: sequences.map(({ nats }) => nats), counts: sequences.map((each) => each.tokens) }
  await writeFile(join(run, 'evaluation.json'), `${JSON.stringify(lines)}\n`)
}

/** Says what will be trained on what, and refuses what cannot fit before compute is spent. */
function introduce(io: Io, inputs: RunInputs): void {
  const { config, dataset, backbone, tied, runtime } = inputs
  io.stderr(`${dataReport(dataset.summary)}\n`)
  requireSequences(inputs)
  const frozenBytes = (config.stages[0]!.train === 'streams' ? 1 : 0) * 4 * count(backboneParameters(backbone, tied))
  const figures = config.stages.map((stage): ModelFigures => {
    const plan = stagePlan(inputs, stage)
    const trained = count(plan.trainable)
    const backboneCount = stage.train === 'streams' ? count(backboneParameters(backbone, tied)) : 0
    const memory = estimateTrainingMemory(plan, config.batch.microBatches)
    return { parameters: trained + backboneCount, trained, memoryBytes: memory.total + frozenBytes }
  })
  const { sequences, tokens, microBatches } = config.batch
  const epochs = (sequences * tokens * microBatches * totalSteps(config)) / dataset.summary.train.tokens
  io.stderr(`${modelReport(config, figures, epochs)}\n`)
  const needed = Math.max(...figures.map(({ memoryBytes }) => memoryBytes))
  const available = availableMemoryBytes()
  if (runtime.device === 'cpu' && needed > available) {
    throw resourceError(
      `training needs about ${formatAmount(needed, 'B')} of memory, ${formatAmount(available, 'B')} are free; ` +
        `lower --batch-size (now ${sequences}) and raise --micro-batches (now ${microBatches}) by the same factor, or use a shorter --sequence-length (now ${tokens}) or a smaller --p`,
      { expected: needed, found: available },
    )
  }
}

/** @throws usage error for sequences longer than the model's context, or data too small for one, on either side */
function requireSequences({ config, backbone, train, heldOut }: RunInputs): void {
  const { sequences: batchSize, tokens } = config.batch
  if (tokens > backbone.maxPositionEmbeddings) {
    throw usageError(
      `--sequence-length ${tokens}: the model's context has ${backbone.maxPositionEmbeddings} tokens; use shorter sequences`,
      { flag: 'sequence-length', expected: backbone.maxPositionEmbeddings, found: tokens },
    )
  }
  const { packing } = config.data
  trainingBatches(train, { batchSize, tokens, packing, seed: config.seed })
  evaluationBatches(heldOut, { batchSize, tokens, packing: packing === 'stream' ? 'streamWithRest' : packing })
}

const count = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
  parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)

const dataMark = ({ dataset: { summary } }: RunInputs): DataMark => ({
  trainTokens: summary.train.tokens,
  heldOutTokens: summary.heldOut.tokens,
  documents: summary.train.documents + summary.heldOut.documents,
  textBytes: summary.textBytes,
})

function requireSameData(run: string, before: DataMark, now: DataMark): void {
  for (const [key, value] of Object.entries(before)) {
    if (now[key] === value) continue
    throw usageError(
      `${run}: the data have changed since the run was saved (${key} was ${value}, is ${now[key]}); restore the files, or begin a new run`,
      {
        file: run,
        expected: value,
        found: now[key],
      },
    )
  }
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

/** `kill -USR2` asks for a checkpoint without stopping the run. */
function checkpointSignal(): { take: () => boolean; stop: () => void } {
  let asked = false
  const onSignal = () => {
    asked = true
  }
  process.on('SIGUSR2', onSignal)
  return {
    take: () => {
      const now = asked
      asked = false
      return now
    },
    stop: () => process.off('SIGUSR2', onSignal),
  }
}

export function resultText({ model, base, steps, tokens, heldOutLoss, trainingSeconds }: TrainResult): string {
  const what = base === undefined ? model : `${base} --stream-set ${model}`
  return [
    `${steps} steps, ${formatAmount(tokens)} tokens, ${formatSeconds(trainingSeconds)} of training; held-out loss ${heldOutLoss.toFixed(4)} nats a token`,
    `${base === undefined ? 'the model' : 'the streams'}: ${model}`,
    `try it: parscale generate ${what} --prompt "Once upon a time"`,
    '',
  ].join('\n')
}
