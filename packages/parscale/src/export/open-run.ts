/** Opens a run's checkpoint for export: parameters, configuration, tokenizer. It does not read the training data. */
import { join } from 'node:path'
import { checkpointError, usageError } from '@parscale/core/internal'
import { isTied, type ModelConfig } from '@parscale/core/internal/checkpoint'
import {
  type ModelFolder,
  type RunContents,
  readCheckpoint,
  readRun,
  type TrainingCheckpoint,
  textFiles,
} from '@parscale/core/internal/node'
import { createTokenizer, type TokenizerFiles, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import {
  freshModel,
  modelParameters,
  parseRunConfig,
  type RunConfig,
  requireTrained,
  type Stage,
  stageStreams,
  trainedParameters,
} from '@parscale/core/internal/training'
import { openBase } from '../load/open-base.ts'
import { trainingRuntime } from '../load/training-runtime.ts'
import { isStorageName } from '../storage/address.ts'
import { fetchStoredRun } from '../storage/fetch.ts'
import { fetchingOf } from '../storage/fetching.ts'
import type { Io } from '../terminal/io.ts'

/** Which checkpoint: the newest, the one with the smallest held-out loss, or that of a step. */
export type CheckpointChoice = 'last' | 'best' | number

export interface OpenRun {
  readonly path: string
  readonly config: RunConfig
  readonly checkpoint: TrainingCheckpoint
  /** The checkpoint's, with prefixes where a network made them while training. */
  readonly parameters: ReadonlyMap<string, Float32Array>
  /** The stage that the checkpoint is of. */
  readonly stage: Stage
  /** The model as it was then, streams included. */
  readonly model: ModelConfig
  readonly tied: boolean
  /** What the run started from; open, for what was frozen. */
  readonly base: ModelFolder | undefined
  /** Only streams were trained. */
  readonly frozen: boolean
  readonly tokenizer: TokenizerFiles
  close(): Promise<void>
}

/** @throws usage error where there is no such run or checkpoint; checkpoint error for damaged files, and as requireTrained */
export async function openRun(path: string, choice: CheckpointChoice, io: Io): Promise<OpenRun> {
  const isStored = isStorageName(path)
  const run = await readRun(isStored ? await fetchStoredRun(path, choice === 'last' ? 'last' : 'all', fetchingOf(io)) : path)
  const config = parseRunConfig(run.config, join(run.path, 'config.json'))
  const checkpoint = await chooseCheckpoint(run, choice, (message) => io.stderr(`warning: ${message}\n`))
  const stage = stageOf(run, config, checkpoint)
  const base = config.base === null ? undefined : await openBase(io, config.base)
  try {
    const tokenizer = await tokenizerFiles(textFiles(join(run.path, 'tokenizer')))
    const backbone = base?.config ?? freshModel(config.shape!, createTokenizer(tokenizer))
    const model = { ...backbone, parscale: stageStreams(config, stage) }
    const tied = base ? isTied(base) : (backbone.tieWordEmbeddings ?? false)
    const where = `${run.path}: checkpoint of step ${checkpoint.step}`
    requireTrained(checkpoint.tensors, trainedParameters({ config, backbone, tied }, stage), where)
    return {
      path: isStored ? path : run.path,
      config,
      checkpoint,
      parameters: await mergedParameters(config, model, checkpoint, io),
      stage,
      model,
      tied,
      base,
      frozen: stage.train === 'streams',
      tokenizer,
      close: async () => await base?.close(),
    }
  } catch (error) {
    await base?.close()
    throw error
  }
}

async function mergedParameters(
  { streams: { prefixMlp: size } }: RunConfig,
  model: ModelConfig,
  { parameters }: TrainingCheckpoint,
  io: Io,
): Promise<ReadonlyMap<string, Float32Array>> {
  // Nothing to compute, so no engine is needed.
  if (size === null || !model.parscale.input.includes('prefix')) return parameters
  return await modelParameters(await trainingRuntime({}, io), { config: model, prefixMlp: size }, parameters)
}

async function chooseCheckpoint(
  { path, checkpoints }: RunContents,
  choice: CheckpointChoice,
  onDamaged: (message: string) => void,
): Promise<TrainingCheckpoint> {
  const there = await checkpoints.list()
  const known = `there are those of steps ${there.map(({ step }) => step).join(', ')}`
  if (choice === 'last') {
    const found = await checkpoints.latest(onDamaged)
    if (found) return found
    throw usageError(`${path}: has no checkpoint yet; wait for the first one, or ask the run for it with: kill -USR2 PID`, {
      file: path,
    })
  }
  if (choice === 'best') {
    const found = await checkpoints.best(onDamaged)
    if (found) return found
    const what = there.length > 0 ? `${known}, but none with a held-out loss; take --checkpoint last` : 'it has no checkpoint yet'
    throw usageError(`${path}: there is no best checkpoint: ${what}`, { file: path, flag: 'checkpoint' })
  }
  const entry = there.find(({ step }) => step === choice)
  if (entry) return await readCheckpoint(entry.path)
  throw usageError(`${path}: has no checkpoint of step ${choice}; ${there.length > 0 ? known : 'it has none yet'}`, {
    file: path,
    flag: 'checkpoint',
    expected: there.map(({ step }) => step),
    found: choice,
  })
}

/** Arrays are of the stage that the trainer was in, which at a border is the one that has just ended. */
function stageOf({ path }: RunContents, config: RunConfig, { step, state }: TrainingCheckpoint): Stage {
  const index = (state.position as { stage?: unknown } | undefined)?.stage
  const stage = config.stages[Number.isInteger(index) ? (index as number) : -1]
  if (stage) return stage
  throw checkpointError(`${path}: the checkpoint of step ${step} names stage ${index}; the run has ${config.stages.length}`, {
    file: path,
    found: index,
  })
}
