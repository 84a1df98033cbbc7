/**
 * Shapes of models as the cost room sees them: plain numbers, field names as in `ModelConfig` of the checkpoint room, so that a
 * config read from a file can be passed with the few fields added that it lacks.
 */
import { usageError } from '../errors.ts'

/** The sizes that decide a model's cost. */
export interface ModelShape {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numHiddenLayers: number
  readonly numAttentionHeads: number
  readonly numKeyValueHeads: number
  readonly headDim: number
  readonly attentionBias: { readonly qkv: boolean; readonly o: boolean }
  readonly mlpBias: boolean
  /** Norms of queries and keys, of each head's or of all heads' together. */
  readonly qkNorm: false | 'head' | 'projection'
  /** Names of the norms of a layer, null where there is none. Default: two, as Llama has. */
  readonly features?: {
    readonly norms: Readonly<Record<'beforeAttention' | 'afterAttention' | 'beforeMlp' | 'afterMlp', string | null>>
  }
  /** True: the output head reads the embedding table, which is stored once. */
  readonly tiedEmbeddings: boolean
  /** K, prefix tokens per layer and stream; used only where P > 1. */
  readonly prefixTokens: number
  /** Where streams are not as published. Default: prefixes, joined by a network. */
  readonly streams?: StreamChoices
}

/** Fields as in `ParscaleConfig` of the model room. */
export interface StreamChoices {
  /** P that the choices were made for. With 1, the one stream has an input transformation; else P = 1 is the plain model. */
  readonly n: number
  readonly input: readonly ('prefix' | 'scales' | 'lora' | 'bitfit' | 'norms' | 'embedding')[]
  readonly gate: boolean
  readonly loraRank: number
  readonly aggregation: 'dynamic' | 'static' | 'average'
  /** What the weights mix. Probabilities take the output embedding of every stream. Default: hidden. */
  readonly merge?: 'hidden' | 'probabilities'
}

export interface PublishedModel {
  /** Non-embedding size, as the paper names it. */
  readonly name: string
  /** Size with one embedding table, as the checkpoints are named. */
  readonly checkpointName: string
  readonly shape: ModelShape
}

/**
 * The six shapes behind the law: Qwen-2.5 dense, 36 layers, 16 heads, 2 key/value heads, tied embeddings. Hidden and
 * intermediate sizes are solved from the published parameter counts, which parameters.test.ts reproduces one by one.
 */
export const publishedModels: readonly PublishedModel[] = (
  [
    ['0.5B', '0.7B', 896, 4864],
    ['0.7B', '0.9B', 1024, 5504],
    ['1.1B', '1.3B', 1280, 6912],
    ['1.6B', '1.8B', 1536, 8320],
    ['2.8B', '3B', 2048, 11008],
    ['4.4B', '4.7B', 2560, 13824],
  ] as const
).map(([name, checkpointName, hiddenSize, intermediateSize]) => ({
  name,
  checkpointName,
  shape: qwenShape(hiddenSize, intermediateSize),
}))

/** A member of the published family with other widths. @throws usage error for a width that is no whole number */
export function qwenShape(hiddenSize: number, intermediateSize: number): ModelShape {
  requireCount('hiddenSize', hiddenSize)
  requireCount('intermediateSize', intermediateSize)
  return {
    vocabSize: 151936,
    hiddenSize,
    intermediateSize,
    numHiddenLayers: 36,
    numAttentionHeads: 16,
    numKeyValueHeads: 2,
    headDim: hiddenSize / 16,
    attentionBias: { qkv: true, o: false },
    mlpBias: false,
    qkNorm: false,
    tiedEmbeddings: true,
    prefixTokens: 48,
  }
}

/** By non-embedding size ("1.6B"). Throws a usage error with the known names. */
export function publishedModel(name: string): PublishedModel {
  const found = publishedModels.find((model) => model.name === name)
  if (found === undefined) {
    const known = publishedModels.map((model) => model.name)
    throw usageError(`model: '${name}' is not one of the published sizes ${known.join(', ')}`, {
      flag: 'model',
      expected: known,
      found: name,
    })
  }
  return found
}

/** Throws a usage error that names the first field that is not a whole number of at least 1, or heads that do not divide. */
export function validateShape(shape: ModelShape): ModelShape {
  const sizes = [
    'vocabSize',
    'hiddenSize',
    'intermediateSize',
    'numHiddenLayers',
    'numAttentionHeads',
    'numKeyValueHeads',
    'headDim',
  ] as const
  for (const key of sizes) requireCount(key, shape[key])
  requireCount('prefixTokens', shape.prefixTokens, 0)
  if (shape.numAttentionHeads % shape.numKeyValueHeads !== 0) {
    throw usageError(
      `numAttentionHeads ${shape.numAttentionHeads} is not a multiple of numKeyValueHeads ${shape.numKeyValueHeads}`,
      {
        flag: 'numKeyValueHeads',
        found: shape.numKeyValueHeads,
      },
    )
  }
  return shape
}

/** Throws a usage error unless `value` is a whole number of at least `least`. */
export function requireCount(flag: string, value: number, least = 1): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw usageError(`${flag} must be a whole number of at least ${least}, got ${value}`, { flag, found: value })
  }
}

/** Throws a usage error unless `value` is a finite number greater than 0. */
export function requirePositive(flag: string, value: number): void {
  if (!(typeof value === 'number' && value > 0 && value < Infinity))
    throw usageError(`${flag} must be a number greater than 0, got ${value}`, { flag, found: value })
}
