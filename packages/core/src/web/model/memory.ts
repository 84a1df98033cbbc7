/** Says that a model is too large before its weights are read. */
import { isTied, type OpenCheckpoint, quantisedBytes } from '../../checkpoint/index.ts'
import { resourceError } from '../../errors.ts'
import { graphMemory, rowTokensPerStep } from '../../generation/index.ts'
import {
  backboneParameters,
  elementCount,
  hasStreams,
  type KvType,
  type MemoryEstimate,
  type MemoryQuestion,
  type ModelConfig,
} from '../../model/index.ts'
import { stepMemory, stepRefusal } from '../../packed/index.ts'

/** What a WASM module may have. */
const wasmBytes = 2 ** 32

export interface MemoryOptions {
  readonly kv?: KvType | undefined
  /** Default: 2048, or the whole context. */
  readonly contextTokens?: number | undefined
}

interface Configured {
  readonly config: ModelConfig
}

/** At the model's largest P, on WASM. */
export function memoryOf(backbone: OpenCheckpoint, streamSets: readonly Configured[], options: MemoryOptions): MemoryEstimate {
  const { config } = backbone
  if (stepRefusal([config, ...streamSets.map((set) => set.config)]) !== undefined)
    return graphsMemoryOf(backbone, streamSets, options)
  const question = questionOf(backbone, streamSets, options)
  const estimate = stepMemory(question)
  // Where a file is mapped only rows of it are read; here it is in memory.
  const embedding = question.tied
    ? 0
    : (question.tensors.get('model.embed_tokens.weight')?.dtype === 'BF16' ? 2 : 4) * config.vocabSize * config.hiddenSize
  const { weightBytes, totalBytes } = estimate
  return { ...estimate, weightBytes: weightBytes + embedding, totalBytes: totalBytes + embedding }
}

/** The same by onnxruntime-web. */
export function graphsMemoryOf(
  backbone: OpenCheckpoint,
  streamSets: readonly Configured[],
  options: MemoryOptions,
): MemoryEstimate {
  const question = questionOf(backbone, streamSets, options)
  if (!multipliesInFull(backbone)) return graphMemory(question)
  // What is not named there counts as float32.
  const held = quantised(backbone)
  return graphMemory({ ...question, tensors: new Map([...question.tensors].filter(([name]) => !held.has(name))) })
}

function questionOf(
  backbone: OpenCheckpoint,
  streamSets: readonly Configured[],
  { kv, contextTokens = 2048 }: MemoryOptions,
): MemoryQuestion {
  const { config } = backbone
  const sets = [config, ...streamSets.map((set) => set.config)].filter(hasStreams)
  const p = Math.max(1, ...sets.map(({ parscale }) => parscale.n))
  const context = Math.min(contextTokens, config.maxPositionEmbeddings)
  return {
    ...{ config, tensors: tensorsOf(backbone), tied: isTied(backbone), p, contextTokens: context },
    ...{ streamSets: sets, rowTokens: Math.min(rowTokensPerStep, p * context), kv },
  }
}

const quantised = (backbone: OpenCheckpoint) => quantisedBytes(tensorsOf(backbone))

/**
 * Whether ONNX Runtime's WASM multiplies in float32 with what is quantised: a matter of speed, where there is memory for it. While they are
 * read weights are there twice.
 */
export function multipliesInFull(backbone: OpenCheckpoint): boolean {
  const held = quantised(backbone)
  const parameters = backboneParameters(backbone.config, isTied(backbone)).filter(({ name }) => held.has(name))
  const elements = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return elements > 0 && 4 * elements <= Math.min(1e9, availableBytes() / 4)
}

/**
 * What the engine may take: a WASM module has 4 GiB, and a browser that says how much memory the device has gives half of that to
 * a page.
 */
export function availableBytes(): number {
  // In GiB, at most 8; Chromium alone says it.
  const { deviceMemory } = navigator as { readonly deviceMemory?: number }
  return deviceMemory === undefined || deviceMemory >= 8 ? wasmBytes : Math.min(wasmBytes, (deviceMemory * 2 ** 30) / 2)
}

/** @throws resource error, with the numbers */
export function requireMemory(name: string, { totalBytes, weightBytes, cacheBytes }: MemoryEstimate, available: number): void {
  if (totalBytes <= available) return
  throw resourceError(
    `${name} is too large for this page: it needs ${gigabytes(totalBytes)} (weights ${gigabytes(weightBytes)}, keys and values ${gigabytes(cacheBytes)}), a page here may have ${gigabytes(available)}; nothing was read. Take a smaller model, fewer bits or fewer contextTokens`,
    { expected: totalBytes, found: available },
  )
}

/** Bytes of the largest tensor as an engine holds it: what one GPU buffer must take. */
export function largestTensorBytes(backbone: OpenCheckpoint): number {
  const tensors = tensorsOf(backbone)
  const held = quantisedBytes(tensors)
  return Math.max(
    0,
    ...[...tensors].map(([name, { shape }]) => held.get(name) ?? 4 * shape.reduce((product, size) => product * size, 1)),
  )
}

const tensorsOf = ({ tensors, otherTensors }: OpenCheckpoint): MemoryQuestion['tensors'] =>
  new Map<string, { readonly dtype: string; readonly shape: readonly number[] }>([...tensors, ...otherTensors])

export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 1)} GB`
