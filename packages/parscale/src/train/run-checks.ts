/** Checks before the first step: memory, disk, data. It prints estimates and refuses what cannot work. */
import { isParscaleError, resourceError, usageError } from '@parscale/core/internal'
import { backboneParameters, elementCount, hasStreams, streamParameters } from '@parscale/core/internal/model'
import { backboneDigest } from '@parscale/core/internal/node'
import {
  estimateEvaluationMemory,
  estimateTrainingMemory,
  hasFirstStreams,
  type SavedRun,
  stagePlan,
  stageStreams,
  sumsInTree,
  totalSteps,
} from '@parscale/core/internal/training'
import { evaluationBatches, trainingBatches } from '@parscale/core/internal/training/data'
import { availableMemoryBytes } from '../load/memory.ts'
import type { Io } from '../terminal/io.ts'
import { formatAmount } from '../terminal/progress.ts'
import { isFrozen, type RunInputs } from './run-inputs.ts'
import { dataReport, type ModelFigures, modelReport, workersText } from './train-report.ts'
import { single, type Team } from './workers/join-workers.ts'

type DataMark = SavedRun['data']

const backboneKey = 'backboneSha256'

/** Says what will be trained on what, and refuses what cannot fit before compute is spent. */
export function introduce(io: Io, inputs: RunInputs, { workers, hosts }: Team = single): void {
  const { config, dataset, backbone, tied, runtime } = inputs
  io.stderr(`${dataReport(dataset.summary)}\n`)
  requireConversations(inputs)
  requireSequences(inputs)
  const backboneCount = count(backboneParameters(backbone, tied))
  const figures = config.stages.map((stage): ModelFigures => {
    const plan = stagePlan(inputs, stage)
    const trained = count(plan.trainable)
    const frozen = stage.train === 'streams' ? backboneCount : 0
    // The look at the model in between loads it once more, as it is used.
    const looks = config.sample.tokens > 0 || (stage.p > 1 && config.evaluation.diagnoseTokens > 0)
    // A runtime that sizes its sessions counts the frozen weights that each of them holds.
    const held = runtime.sessionBytes ? 0 : frozen
    const weightBytes = 4 * (held + (looks ? frozen + trained : 0))
    const tree = sumsInTree(config, runtime) ? { workers: workers.size } : undefined
    const step = estimateTrainingMemory(plan, config.batch.microBatches, runtime, tree).total
    return { parameters: trained + frozen, trained, memoryBytes: step + estimateEvaluationMemory(plan, runtime) + weightBytes }
  })
  const streams = streamsText(inputs)
  if (streams) io.stderr(`${streams}\n`)
  const { sequences, tokens, microBatches } = config.batch
  const epochs = (sequences * tokens * microBatches * totalSteps(config)) / dataset.summary.train.tokens
  io.stderr(`${modelReport(config, figures, epochs)}\n`)
  if (workers.size > 1) io.stderr(`${workersText(hosts, microBatches, runtime.threads)}\n`)
  // One worker speaks for all that are on its computer.
  const here = hosts.filter((host) => host === hosts[workers.rank]).length
  if (hosts.indexOf(hosts[workers.rank]!) < workers.rank) return
  const needed = here * Math.max(...figures.map(({ memoryBytes }) => memoryBytes))
  const available = availableMemoryBytes()
  if (runtime.device === 'cpu' && needed > available) {
    throw resourceError(
      `training needs about ${formatAmount(needed, 'B')} of memory, ${formatAmount(available, 'B')} are free; ` +
        `lower --batch-size (now ${sequences}) and raise --micro-batches (now ${microBatches}) by the same factor, or use a shorter --sequence-length (now ${tokens}) or a smaller --p`,
      { expected: needed, found: available },
    )
  }
}

/** Where the base has streams of its own: whether they go on. */
function streamsText({ base, backbone, config }: RunInputs): string | undefined {
  const own = base && hasStreams(backbone) ? streamParameters(backbone) : []
  if (own.length === 0) return undefined
  const { p } = config.stages.at(-1)!
  const counts = { stored: backbone.parscale.n, wanted: p }
  const wanted = new Map(
    streamParameters({ ...backbone, parscale: stageStreams(config, { p }) }).map(({ name, shape }) => [name, shape]),
  )
  const goOn = !config.streams.reset && own.filter(({ name, shape }) => hasFirstStreams(shape, wanted.get(name) ?? [], counts))
  if (goOn && goOn.length === wanted.size && p < counts.stored)
    return `streams: the first ${p} of the model's ${counts.stored} go on`
  if (goOn && goOn.length === own.length && own.length === wanted.size) return `streams: those of the model (P = ${p}) go on`
  return `streams: ${goOn ? goOn.length : 0} of the model's ${own.length} tensors go on, ${wanted.size - (goOn ? goOn.length : 0)} are drawn anew`
}

/** Texts may stand among conversations, and all of a text is learned; data of texts alone are a mistake. */
function requireConversations({ config, dataset: { summary } }: RunInputs): void {
  if (!config.data.chat || summary.countedTokens < summary.train.tokens + summary.heldOut.tokens) return
  throw usageError(
    `train ${config.recipe}: there is no conversation in the data; give rows with "messages": [{ "role", "content" }, ...], or train on texts with another recipe`,
    { flag: 'data' },
  )
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
  const sides = [
    [train, 'the data to train on', () => trainingBatches(train, { batchSize, tokens, packing, seed: config.seed })],
    [
      heldOut,
      'the held-out data',
      () => evaluationBatches(heldOut, { batchSize, tokens, packing: packing === 'stream' ? 'streamWithRest' : packing }),
    ],
  ] as const
  for (const [file, name, open] of sides) {
    try {
      open()
    } catch (error) {
      if (!isParscaleError(error)) throw error
      throw usageError(`${error.message.replace(file.name, name)} (--sequence-length)`, error.facts)
    }
  }
}

const count = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
  parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)

export async function dataMark(inputs: RunInputs, signal: AbortSignal): Promise<DataMark> {
  const { base, dataset } = inputs
  const { train, heldOut, textBytes } = dataset.summary
  return {
    trainTokens: train.tokens,
    heldOutTokens: heldOut.tokens,
    documents: train.documents + heldOut.documents,
    textBytes,
    // In no checkpoint, but read at every start: another one of the same shapes would pass unnoticed.
    ...(base && isFrozen(inputs) && { [backboneKey]: await backboneDigest(base, signal) }),
  }
}

export function requireSameData(run: string, before: DataMark, now: DataMark): void {
  for (const [key, value] of Object.entries(before)) {
    if (now[key] === value) continue
    const changed = key === backboneKey ? 'the frozen model has' : 'the data have'
    throw usageError(
      `${run}: ${changed} changed since the run was saved (${key} was ${value}, is ${now[key]}); restore the files, or begin a new run`,
      {
        file: run,
        expected: value,
        found: now[key],
      },
    )
  }
}
