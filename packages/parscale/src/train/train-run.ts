/** One `parscale train`: a new run or one that goes on, from configuration to the model's folder. */
import { cpus } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { backboneParameters, elementCount, streamParameters } from '@parscale/core/internal/model'
import { diskError, RunFolder, readRun, removeFolder, runAdvice, writeWholeFile } from '@parscale/core/internal/node'
import type { Runtime } from '@parscale/core/internal/runtime'
import {
  type Evaluation,
  type FinalEvaluation,
  firstsValue,
  parseRunConfig,
  parseSavedRun,
  type RunConfig,
  requireShareable,
  requireTrained,
  stageAt,
  stepFlops,
  Trainer,
  totalSteps,
  trainedParameters,
} from '@parscale/core/internal/training'
import { exportRuns } from '../export/export-runs.ts'
import { openRun } from '../export/open-run.ts'
import { packageVersion } from '../package-files.ts'
import type { StoredRun } from '../storage/stored-run.ts'
import type { Io } from '../terminal/io.ts'
import { formatAmount, formatSeconds } from '../terminal/progress.ts'
import { type CheckpointSignal, checkpointSignal } from './checkpoint-signal.ts'
import { inspectModel } from './inspect-model.ts'
import { showLosses } from './loss-picture.ts'
import { dataMark, introduce, requireSameData } from './run-checks.ts'
import { isFrozen, openRunInputs, type RunInputs, writeTokenizer } from './run-inputs.ts'
import { type LoopState, nowhere, trainLoop } from './train-loop.ts'
import { requireSame, single, type Team } from './workers/join-workers.ts'

export interface TrainResult {
  readonly run: string
  readonly model: string
  /** Of the streams, where they were trained for a frozen model. */
  readonly base?: string
  /** Streams of what was trained. */
  readonly p: number
  readonly steps: number
  readonly tokens: number
  /** N of the scaling law: parameters without embeddings, those of streams included. */
  readonly nonEmbeddingParameters: number
  readonly heldOutLoss: number
  readonly trainingSeconds: number
}

/**
 * Begins a run in a new folder. `dryRun`: stops before the first step, and leaves nothing.
 *
 * @param stored where the run is kept besides, as it is saved
 * @param pauseAt a step at which the run is evaluated, saved and left
 * @returns undefined where the run was left, or not begun, or another worker writes it
 */
export async function startRun(
  io: Io,
  runtime: Runtime,
  config: RunConfig,
  out: string,
  dryRun: boolean,
  team: Team = single,
  stored?: StoredRun,
  pauseAt?: number,
): Promise<TrainResult | undefined> {
  const first = team.workers.rank === 0
  requireShareable(config, runtime, team.workers.size)
  await requireSame(team, { ...(await programMark(runtime)), configuration: config })
  // Before data are read, which may take long.
  if (!dryRun && first) await RunFolder.refuseTaken(out)
  const asked = checkpointSignal()
  const inputs = await openRunInputs(io, runtime, config, { team })
  try {
    introduce(io, inputs, team)
    const trainer = await Trainer.create(inputs)
    try {
      if (dryRun) return undefined
      if (!first) return await train({ io, inputs, trainer, folder: undefined, asked, team })
      const folder = await RunFolder.create(out, config, {
        keepCheckpoints: config.checkpoint.keep,
        prepare: (path) => writeTokenizer(join(path, tokenizerFolder), inputs.tokenizerFiles),
      })
      return await train({ io, inputs, trainer, folder, asked, team, stored, pauseAt })
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

/** Goes on with a run from its last whole checkpoint, or from the beginning where it has none. `pauseAt`: as startRun. */
export async function resumeRun(
  io: Io,
  runtime: Runtime,
  path: string,
  team: Team = single,
  stored?: StoredRun,
  pauseAt?: number,
): Promise<TrainResult | undefined> {
  await requireSame(team, { ...(await programMark(runtime)), resume: stored?.name ?? path })
  if (team.workers.rank > 0) return await followRun(io, runtime, team)
  const { config: written, path: runPath } = await readRun(path)
  const config = parseRunConfig(written, join(runPath, 'config.json'))
  requireShareable(config, runtime, team.workers.size)
  const asked = checkpointSignal()
  const folder = await RunFolder.open(path, { keepCheckpoints: config.checkpoint.keep })
  try {
    await firstsValue(team.workers, config)
    const inputs = await openRunInputs(io, runtime, config, { tokenizerFolder: join(folder.path, tokenizerFolder), team })
    try {
      introduce(io, inputs, team)
      // Before anything later than a checkpoint is dropped.
      const newest = (await folder.checkpoints.list()).at(-1)
      if (newest) {
        const { data } = parseSavedRun(newest.state, newest.path)
        requireSameData(folder.path, data, await dataMark(inputs, io.signal))
      }
      const checkpoint = await folder.resume((message) => io.stderr(`warning: ${message}\n`))
      const where = `${folder.path}: checkpoint of step ${checkpoint?.step}`
      const saved = checkpoint && parseSavedRun(checkpoint.state, where)
      io.stderr(`${resumeText(saved?.position.step, totalSteps(config))}\n`)
      const state = checkpoint &&
        saved && { parameters: checkpoint.parameters, m: checkpoint.m, v: checkpoint.v, position: saved.position }
      const stage = saved && config.stages[saved.position.stage]
      if (stage) requireTrained(checkpoint.tensors, trainedParameters(inputs, stage), where)
      await firstsValue(team.workers, saved ?? null)
      const trainer = await Trainer.create(inputs, state)
      return await train({ io, inputs, trainer, folder, asked, team, stored, resumed: saved?.loop, pauseAt }).finally(() =>
        trainer.dispose(),
      )
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

/** A worker behind the first, which reads the run and tells it. */
async function followRun(io: Io, runtime: Runtime, team: Team): Promise<undefined> {
  const config = parseRunConfig(await firstsValue(team.workers, null))
  const asked = checkpointSignal()
  try {
    const inputs = await openRunInputs(io, runtime, config, { team })
    try {
      introduce(io, inputs, team)
      const told = await firstsValue(team.workers, null)
      const saved = told === null ? undefined : parseSavedRun(told, 'what the first worker read')
      const nothing = new Map<string, Float32Array>()
      const trainer = await Trainer.create(
        inputs,
        saved && { parameters: nothing, m: nothing, v: nothing, position: saved.position },
      )
      await train({ io, inputs, trainer, folder: undefined, asked, team, resumed: saved?.loop }).finally(() => trainer.dispose())
    } finally {
      await inputs.close()
    }
  } finally {
    asked.stop()
  }
}

/** What else decides about bits: the program and what it runs on. */
async function programMark({ fuses, threads }: Runtime): Promise<Readonly<Record<string, unknown>>> {
  const common = { version: packageVersion(), node: process.version.split('.')[0]! }
  // Steps of our own have the same bits on any number of threads, of one instruction set.
  if (fuses) return { ...common, instructionSets: (await import('@parscale/native')).instructionSets() }
  return { ...common, engine: 'ONNX Runtime', processor: cpus()[0]?.model, threads: threads ?? null }
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
  /** Absent: another worker writes the run. */
  readonly folder: RunFolder | undefined
  readonly asked: CheckpointSignal
  readonly team: Team
  readonly stored?: StoredRun | undefined
  readonly resumed?: LoopState | undefined
  readonly pauseAt?: number | undefined
}

/** Undefined where the run was left before its end, or another worker writes it. */
async function train({
  io,
  inputs,
  trainer,
  folder,
  asked,
  team,
  stored,
  resumed,
  pauseAt,
}: Training): Promise<TrainResult | undefined> {
  const { config } = inputs
  const { workers, hosts } = team
  await folder?.noteStart({ step: trainer.position.step, workers: workers.size, hosts, threads: inputs.runtime.threads ?? null })
  const result = await trainLoop({
    io,
    config,
    trainer,
    team,
    folder: folder ?? nowhere,
    data: await dataMark(inputs, io.signal),
    stepFlops: flopsByStage(trainer, config),
    inspect: async () => (folder ? await inspectModel(io, inputs, trainer, folder.path) : {}),
    resumed,
    saved: stored && (() => stored.saved()),
    checkpointAsked: asked.take,
    pauseAt,
  })
  const { step: steps, tokens } = trainer.position
  if (!folder) {
    if (!result.finished || io.signal.aborted) throw io.signal.reason
    if (!result.evaluation) await trainer.evaluate(Infinity, io.signal)
    return undefined
  }
  if (!result.finished || io.signal.aborted) {
    io.stderr(
      `stopped after step ${steps} of ${totalSteps(config)}; go on with: parscale train --resume ${stored?.name ?? folder.path}\n`,
    )
    io.signal.throwIfAborted()
    return undefined
  }
  const evaluation = result.evaluation ?? (await trainer.evaluate(Infinity, io.signal))
  await writeEvaluation(folder.path, evaluation)
  const model = join(folder.path, isFrozen(inputs) ? 'streams' : 'model')
  await exportFinished(io, folder.path, model)
  await showLosses(io, folder.path)
  await stored?.finish()
  const run = stored?.name ?? folder.path
  return {
    run,
    model: stored ? `${run}/${basename(model)}` : model,
    ...(isFrozen(inputs) && { base: config.base! }),
    p: trainer.plan.config.parscale.n,
    steps,
    tokens,
    nonEmbeddingParameters: nonEmbedding(trainer.plan),
    heldOutLoss: evaluation.loss,
    trainingSeconds: result.trainingSeconds,
  }
}

const nonEmbedding = ({ config, tied }: Trainer['plan']): number =>
  [...backboneParameters(config, tied), ...streamParameters(config)]
    .filter(({ part }) => part !== 'embedding' && part !== 'output')
    .reduce((sum, { shape }) => sum + elementCount(shape), 0)

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
