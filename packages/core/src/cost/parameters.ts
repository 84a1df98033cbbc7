/** How many parameters a model has, part by part, as its checkpoint stores them. */
import { type ModelShape, requireCount, type StreamChoices, validateShape } from './shapes.ts'

/** Parameters of a model, part by part. */
export interface ParameterCounts {
  readonly embedding: number
  /** 0 where the output head reads the embedding table. */
  readonly outputEmbedding: number
  readonly attention: number
  readonly mlp: number
  /** Those of the layers, two each where nothing else is said, and the final one. */
  readonly norms: number
  /** With their gates. 0 for P = 1, like `adapters` and `aggregation`, but for a set of one stream. */
  readonly prefixes: number
  /** What streams own beside prefixes: scales, lora, biases, gains. */
  readonly adapters: number
  readonly aggregation: number
  /** N of the law: everything but the two embeddings. */
  readonly nonEmbedding: number
  readonly total: number
}

/**
 * Counts the parameters of a model with P streams.
 *
 * @param P streams; the counts of prefixes and aggregation grow with it. @throws usage error for an impossible shape or P
 */
export function countParameters(shape: ModelShape, P: number): ParameterCounts {
  validateShape(shape)
  requireCount('P', P)
  const { vocabSize, hiddenSize, intermediateSize, numHiddenLayers: layers, headDim, attentionBias, mlpBias, qkNorm } = shape
  const queries = shape.numAttentionHeads * headDim
  const keys = shape.numKeyValueHeads * headDim // and as many values
  const attentionWeights = hiddenSize * (queries + 2 * keys) + queries * hiddenSize
  const attentionBiases = (attentionBias.qkv ? queries + 2 * keys : 0) + (attentionBias.o ? hiddenSize : 0)
  const mlp = 3 * hiddenSize * intermediateSize + (mlpBias ? 2 * intermediateSize + hiddenSize : 0)

  const qkNorms = { none: 0, head: 2 * headDim, projection: queries + keys }[qkNorm || 'none']
  const layerNorms = normsOfLayer(shape)

  const embedding = vocabSize * hiddenSize
  const outputEmbedding = shape.tiedEmbeddings ? 0 : vocabSize * hiddenSize
  const parts = {
    attention: layers * (attentionWeights + attentionBiases + qkNorms),
    mlp: layers * mlp,
    norms: layers * layerNorms * hiddenSize + hiddenSize,
    ...streamCounts(shape, P),
  }
  const nonEmbedding = Object.values(parts).reduce((sum, count) => sum + count)
  return { embedding, outputEmbedding, ...parts, nonEmbedding, total: embedding + outputEmbedding + nonEmbedding }
}

function streamCounts(shape: ModelShape, P: number): Pick<ParameterCounts, 'prefixes' | 'adapters' | 'aggregation'> {
  const { hiddenSize: h, intermediateSize, numHiddenLayers: layers, headDim, prefixTokens } = shape
  const { input, gate, loraRank, aggregation } = streamChoices(shape, P)
  const [queries, keys] = [shape.numAttentionHeads * headDim, shape.numKeyValueHeads * headDim]
  // Over the seven linear layers of a decoder layer: q, k, v, o, gate, up, down.
  const outs = queries + 2 * keys + 2 * h + 2 * intermediateSize
  const ins = 5 * h + queries + intermediateSize
  // What q, k and v read is scaled once, and so is what gate and up read.
  const sharedIns = 2 * h + queries + intermediateSize
  const ofKind = {
    prefix: 0,
    scales: sharedIns + outs,
    lora: loraRank * (ins + outs),
    bitfit: outs,
    norms: normsOfLayer(shape) * h,
    embedding: 0,
  }
  const once = (input.includes('norms') ? h : 0) + (input.includes('embedding') ? 2 * h : 0)
  const adapters = input.reduce((sum, kind) => sum + layers * ofKind[kind], once)
  return {
    prefixes: input.includes('prefix') ? layers * 2 * P * prefixTokens * keys + (gate ? P : 0) : 0,
    adapters: P * adapters,
    aggregation: P === 1 ? 0 : { dynamic: P * h * h + h + P * h + P, static: P, average: 0 }[aggregation],
  }
}

/** Norms of the residual, without those of queries and keys. */
const normsOfLayer = ({ features }: ModelShape): number =>
  features ? Object.values(features.norms).filter((name) => name !== null).length : 2

/** What holds for P streams: as published where the shape says nothing, nothing at all for the plain model. */
export function streamChoices({ streams }: ModelShape, P: number): StreamChoices {
  const plain = P === 1 && streams?.n !== 1
  if (plain) return { n: 1, input: [], gate: false, loraRank: 0, aggregation: 'average' }
  return streams ?? { n: P, input: ['prefix'], gate: false, loraRank: 0, aggregation: 'dynamic' }
}

/** How many times the output embedding is applied for a token: once for what is mixed before, once for each stream otherwise. */
export const outputsPerToken = (shape: ModelShape, P: number): number =>
  P > 1 && streamChoices(shape, P).merge === 'probabilities' ? P : 1

/** M: weights of the matrix products of all layers together, the part that costs 2 FLOPs a token and row. */
export function countMatrixWeights({
  hiddenSize,
  intermediateSize,
  numHiddenLayers,
  numAttentionHeads,
  numKeyValueHeads,
  headDim,
}: ModelShape): number {
  const [queries, keys] = [numAttentionHeads * headDim, numKeyValueHeads * headDim]
  return numHiddenLayers * (hiddenSize * (queries + 2 * keys) + queries * hiddenSize + 3 * hiddenSize * intermediateSize)
}
