/**
 * The cost model behind the paper's Figures 1(3) and 4, as it was computed: a roofline of one A100-80GB in the style of the
 * package llm-analysis, fed with a batch of B * P sequences and corrected in three places. Kept with its quirks, because the
 * published ratios come from them; device-cost.ts is the model without them. The quirks:
 *   - the whole KV cache at its FINAL length is read and written for every generated token
 *   - attention scores against the cache cost no FLOPs while decoding
 *   - modules do not overlap: each takes the larger of its compute and its memory time
 *   - the input embedding is charged as a read of the whole table in every pass
 *   - logits are charged for every prompt position; those of the P - 1 extra streams are taken off again, except for the prefix
 *   - the aggregation counts its first layer only, and is timed as a share of one MLP call
 *   - biases of q, k, v are left out, and the GPU's own memory limit is ignored
 * Every term equals fixtures/law/cost-analysis.json.
 */
import { usageError } from '../errors.ts'
import { type ModelShape, requireCount, validateShape } from './shapes.ts'

/** A request as the cost model sees it: streams, batch, prompt and answer in tokens. */
export interface Workload {
  readonly P: number
  /** B, requests at a time. */
  readonly batch: number
  readonly inputTokens: number
  readonly outputTokens: number
}

export interface ReferenceMemory {
  readonly weightsEmbedding: number
  readonly weightsLayers: number
  readonly weightsFinalNorm: number
  readonly weightsAggregate: number
  readonly kvCache: number
  readonly activations: number
}

export interface ReferenceLatency {
  readonly prefillAttention: number
  readonly prefillMlp: number
  readonly prefillNorms: number
  readonly prefillInputEmbedding: number
  readonly prefillOutputEmbedding: number
  readonly decodeAttention: number
  readonly decodeMlp: number
  readonly decodeNorms: number
  readonly decodeInputEmbedding: number
  readonly decodeOutputEmbedding: number
  readonly decodeKvCache: number
  readonly aggregate: number
  readonly outputEmbeddingCorrection: number
}

export interface ReferenceCost {
  readonly memoryBytes: number
  readonly latencySeconds: number
  /** Bytes; they add up to `memoryBytes`. */
  readonly memory: ReferenceMemory
  /** Seconds; they add up to `latencySeconds`. */
  readonly latency: ReferenceLatency
}

/** A100 SXM 80 GB with the efficiencies that the paper's script sets; weights, activations and cache in 2 bytes. */
export const referenceDevice = { flopsPerSecond: 312e12 * 0.7, bytesPerSecond: 2039e9 * 0.9 } as const

/** Prompts longer than this are refused, as by the published script. */
export const referenceMaxInput = 2048

/** Cost of one batch on the reference GPU. Head size is hidden / heads, whatever the shape says. Throws usage errors. */
export function referenceCost(shape: ModelShape, workload: Workload): ReferenceCost {
  validateShape(shape)
  validateWorkload(workload)
  const { P, batch: B, inputTokens, outputTokens } = workload
  if (inputTokens > referenceMaxInput) {
    throw usageError(`the reference model takes prompts of up to ${referenceMaxInput} tokens, got ${inputTokens}`, {
      flag: 'inputTokens',
      found: inputTokens,
    })
  }
  const {
    hiddenSize: h,
    intermediateSize: i,
    numHiddenLayers: L,
    numAttentionHeads: n,
    numKeyValueHeads: g,
    vocabSize: V,
  } = shape
  const { flopsPerSecond: F, bytesPerSecond: W } = referenceDevice
  const s = P > 1 ? inputTokens + shape.prefixTokens : inputTokens
  const b = B * P
  const attentionParameters = 2 * h * h + 2 * h * ((h * g) / n)
  const mlpParameters = 3 * h * i

  // Activation buffers of a module for `rows` sequences of `q` tokens; flash attention keeps four numbers a head and token.
  const attentionBuffer = (rows: number, q: number) => Math.max(6 * rows * q * h, 2 * (2 * rows * q * h + 4 * n * rows * q))
  const mlpBuffer = (rows: number, q: number) => 2 * rows * q * Math.max(h, i)
  const kvCache = L * 2 * b * (s + outputTokens) * (h / n) * g * 2
  const memory: ReferenceMemory = {
    weightsEmbedding: 2 * V * h,
    weightsLayers: 2 * L * (attentionParameters + mlpParameters + 2 * h),
    weightsFinalNorm: 2 * h,
    weightsAggregate: P > 1 ? 2 * (h + 1) * h * P : 0,
    kvCache,
    activations: Math.max(attentionBuffer(b, s), mlpBuffer(b, s), 2 * b * s * h, 2 * V * B * s),
  }

  const attentionSeconds = (rows: number, q: number) =>
    Math.max(
      (rows * q * h * h * (4 + (4 * g) / n) + 4 * rows * q * q * h) / F,
      (2 * attentionParameters + attentionBuffer(rows, q)) / W,
    )
  const mlpSeconds = (rows: number, q: number) =>
    Math.max((6 * rows * q * h * i) / F, (2 * mlpParameters + mlpBuffer(rows, q)) / W)
  const normSeconds = (rows: number, q: number) => Math.max((5 * rows * q * h) / F, (4 * rows * q * h) / W)
  const logitsSeconds = (rows: number, q: number) => (2 * rows * q * V * h) / F

  const latency: ReferenceLatency = {
    prefillAttention: L * attentionSeconds(b, s),
    prefillMlp: L * mlpSeconds(b, s),
    prefillNorms: L * 2 * normSeconds(b, s),
    prefillInputEmbedding: (2 * V * h) / W,
    prefillOutputEmbedding: logitsSeconds(b, s),
    decodeAttention: outputTokens * L * attentionSeconds(b, 1),
    decodeMlp: outputTokens * L * mlpSeconds(b, 1),
    decodeNorms: outputTokens * L * 2 * normSeconds(b, 1),
    decodeInputEmbedding: (outputTokens * 2 * V * h) / W,
    decodeOutputEmbedding: outputTokens * logitsSeconds(b, 1),
    decodeKvCache: (outputTokens * 2 * kvCache) / W,
    aggregate: P > 1 ? (((h + 1) * h * P) / mlpParameters) * mlpSeconds(B, inputTokens + outputTokens) : 0,
    outputEmbeddingCorrection: -logitsSeconds(b - B, inputTokens + outputTokens),
  }
  return { memoryBytes: sumOf(memory), latencySeconds: sumOf(latency), memory, latency }
}

/** Each term in the symbols of `legend`, for whoever wants to see where a number comes from. */
export const referenceFormulas: Readonly<Record<keyof ReferenceMemory | keyof ReferenceLatency | 'legend', string>> = {
  weightsEmbedding: '2 V h',
  weightsLayers: '2 L (A + M + 2 h)',
  weightsFinalNorm: '2 h',
  weightsAggregate: '2 (h + 1) h P, first layer only, if P > 1',
  kvCache: 'L 2 b (s + S_out) (h / n) g 2, at its final length',
  activations: 'max(6 b s h, 2 (2 b s h + 4 n b s), 2 b s max(h, i), 2 V B s)',
  prefillAttention: 'L attn(b, s)',
  prefillMlp: 'L mlp(b, s)',
  prefillNorms: 'L 2 norm(b, s)',
  prefillInputEmbedding: '2 V h / W, the whole table',
  prefillOutputEmbedding: '2 b s V h / F, every position of every stream',
  decodeAttention: 'S_out L attn(b, 1)',
  decodeMlp: 'S_out L mlp(b, 1)',
  decodeNorms: 'S_out L 2 norm(b, 1)',
  decodeInputEmbedding: 'S_out 2 V h / W',
  decodeOutputEmbedding: 'S_out 2 b V h / F',
  decodeKvCache: 'S_out 2 kvCache / W, the whole final cache read and written a token',
  aggregate: '((h + 1) h P / M) mlp(B, S_in + S_out), if P > 1',
  outputEmbeddingCorrection: '-2 (b - B) (S_in + S_out) V h / F',
  legend:
    'B requests, b = B P, s = S_in + K prefix tokens (K = 0 for P = 1), h hidden, i intermediate, n heads, g key/value heads, V vocabulary, L layers; ' +
    'A = 2 h^2 + 2 h (h g / n), M = 3 h i; F = 312e12 x 0.7 FLOP/s, W = 2039e9 x 0.9 bytes/s; ' +
    'attn(b, q) = max((b q h^2 (4 + 4 g / n) + 4 b q^2 h) / F, (2 A + max(6 b q h, 4 b q h + 8 n b q)) / W), mlp(b, q) = max(6 b q h i / F, (2 M + 2 b q max(h, i)) / W), ' +
    'norm(b, q) = max(5 b q h / F, 4 b q h / W).',
}

/** Throws a usage error unless every count is a whole number of at least 1. */
export function validateWorkload({ P, batch, inputTokens, outputTokens }: Workload): void {
  for (const [flag, value] of Object.entries({ P, batch, inputTokens, outputTokens })) requireCount(flag, value)
}

export const sumOf = (terms: object): number => (Object.values(terms) as number[]).reduce((sum, term) => sum + term, 0)
