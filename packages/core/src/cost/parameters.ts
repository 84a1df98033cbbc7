/** How many parameters a model has, part by part, as its checkpoint stores them. */
import type { ModelShape } from './shapes.ts'

export interface ParameterCounts {
  readonly embedding: number
  /** 0 where the output head reads the embedding table. */
  readonly outputEmbedding: number
  readonly attention: number
  readonly mlp: number
  /** Two per layer and the final one. */
  readonly norms: number
  /** 0 for P = 1, like `aggregation`. */
  readonly prefixes: number
  readonly aggregation: number
  /** N of the law: everything but the two embeddings. */
  readonly nonEmbedding: number
  readonly total: number
}

/** @param P streams; the counts of prefixes and aggregation grow with it */
export function countParameters(shape: ModelShape, P: number): ParameterCounts {
  const {
    vocabSize,
    hiddenSize,
    intermediateSize,
    numHiddenLayers: layers,
    headDim,
    attentionBias,
    mlpBias,
    qkNorm,
    prefixTokens,
  } = shape
  const queries = shape.numAttentionHeads * headDim
  const keys = shape.numKeyValueHeads * headDim // and as many values
  const attentionWeights = hiddenSize * (queries + 2 * keys) + queries * hiddenSize
  const attentionBiases = (attentionBias.qkv ? queries + 2 * keys : 0) + (attentionBias.o ? hiddenSize : 0)
  const mlp = 3 * hiddenSize * intermediateSize + (mlpBias ? 2 * intermediateSize + hiddenSize : 0)

  const embedding = vocabSize * hiddenSize
  const outputEmbedding = shape.tiedEmbeddings ? 0 : vocabSize * hiddenSize
  const parts = {
    attention: layers * (attentionWeights + attentionBiases + (qkNorm ? 2 * headDim : 0)),
    mlp: layers * mlp,
    norms: layers * 2 * hiddenSize + hiddenSize,
    prefixes: P > 1 ? layers * 2 * P * prefixTokens * keys : 0,
    aggregation: P > 1 ? P * hiddenSize * hiddenSize + hiddenSize + P * hiddenSize + P : 0,
  }
  const nonEmbedding = parts.attention + parts.mlp + parts.norms + parts.prefixes + parts.aggregation
  return { embedding, outputEmbedding, ...parts, nonEmbedding, total: embedding + outputEmbedding + nonEmbedding }
}

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
