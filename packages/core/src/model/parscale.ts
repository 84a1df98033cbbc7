/**
 * Parallel scaling (arXiv 2505.10475) in one file.
 *
 *   1. Streams are batch rows. P copies of a sequence go through the same backbone as P rows: one product per weight.
 *   2. A prefix is a prompt in the key/value cache. What makes stream p different from the others is a learned
 *      `prefix_k[p]`, `prefix_v[p]` per layer, which lies in front of the row's keys and values. It is not rotated, every
 *      token sees it, and it takes up no positions: the first real token stands at position 0.
 *   3. Aggregation is a small head. Per token, the P outputs are weighed by a network that sees them all:
 *
 *        w = softmax(W2 silu(W1 [h_1 .. h_P] + b1) + b2),   w' = w (1 - e) + e / P,   h = sum_p w'_p h_p      (section 2)
 *
 * P = 1 has neither prefix nor aggregation: it is the plain backbone. The code below is (2) and (3); (1) needs none.
 * The appendix's other ways to tell streams apart are in adapters.ts.
 *
 * Axes: N tokens, P streams, H hidden, L layers, K key/value heads, D head size.
 */
import type { GraphBuilder, Value } from '../graph/index.ts'
import type { ModelConfig } from './config.ts'
import { silu } from './decoder.ts'
import { linear } from './linear.ts'
import type { Weights } from './weights.ts'

/** The learned prompts of one layer: stream p's, f32 [K, nTokens, D] each. Widened when asked for, as they are kept as they are stored. */
export interface LayerPrefix {
  readonly key: (stream: number) => Float32Array
  readonly value: (stream: number) => Float32Array
}

/** Puts keys and values [K, places, D] of one layer into the first places of a row of the cache. */
export type WriteCacheRow = (layer: number, key: Float32Array, value: Float32Array) => void

/** (2) Puts stream p's prefix into the first `nTokens` places of a row of the cache. */
export function writePrefix(prefixes: readonly LayerPrefix[], stream: number, write: WriteCacheRow): void {
  for (const [layer, { key, value }] of prefixes.entries()) write(layer, key(stream), value(stream))
}

export interface Aggregated {
  /** What the output head reads: [N, H]. */
  readonly hidden: Value
  /** Each stream's share, rows sum to 1: [N, P]. */
  readonly streamWeights: Value
}

export interface AggregateOptions {
  /** e, a number that is fed: [1]. Default: the configuration's. */
  readonly smoothing?: Value | undefined
  /** Which streams there are, 1 or next to 0: [N, P]. The others are neither read nor weighed, as if P were smaller. Default: all. */
  readonly kept?: Value | undefined
  /** Changes the weights [N, P], whose rows have to sum to 1 as before. Default: they stay. */
  readonly reweigh?: ((streamWeights: Value) => Value) | undefined
}

/** (3) `hidden` [N, P, H] holds every stream's output after the final norm. */
export function aggregate(
  g: GraphBuilder,
  config: ModelConfig,
  weights: Weights,
  hidden: Value,
  { smoothing, kept, reweigh = (streamWeights) => streamWeights }: AggregateOptions = {},
): Aggregated {
  const { hiddenSize: H } = config
  const { n: P } = config.parscale
  const N = hidden.shape[0]!
  const streamWeights = reweigh(aggregationWeights(g, config, weights, hidden, { smoothing, kept })) // [N, P]
  // h_1 + sum_p>1 w'_p (h_p - h_1), which is the same as the weights sum to 1; but where streams are equal, not even rounding
  // tells it from h_1, so that a near-identity start is one.
  const [first, others] = g.split(hidden, [1, P - 1], 1) as [Value, Value] // [N, 1, H], [N, P-1, H]
  const [, shares] = g.split(g.unsqueeze(streamWeights, 1), [1, P - 1], 2) as [Value, Value] // [N, 1, P-1]
  const sum = g.add(first, g.matMul(shares, g.sub(others, first)))
  return { hidden: g.reshape(sum, [N, H]), streamWeights }
}

/** w' by the formula above; or of P learned scores instead of the network's (static), or 1 / P (average). */
function aggregationWeights(
  g: GraphBuilder,
  config: ModelConfig,
  weights: Weights,
  hidden: Value,
  { smoothing, kept }: Pick<AggregateOptions, 'smoothing' | 'kept'>,
): Value {
  const { hiddenSize: H } = config
  const { n: P, aggregation, attnSmooth } = config.parscale
  const N = hidden.shape[0]!
  const at = 'model.aggregate_layer'
  const [rest, even] = smoothing
    ? [g.sub(g.scalar(1), smoothing), g.mul(smoothing, g.scalar(1 / P))]
    : [g.constant(Float32Array.of(1 - attnSmooth)), g.constant(Float32Array.of(attnSmooth / P))]
  // 1 / P for each stream, or 1 / their number for those that are kept.
  const evenly = kept && g.div(kept, g.reduceSum(kept, [1]))
  const softmax = (scores: Value) => {
    const shares = g.softmax(kept ? g.add(scores, g.log(kept)) : scores)
    return g.add(g.mul(shares, rest), evenly ? g.mul(evenly, g.mul(even, g.scalar(P))) : even)
  }
  switch (aggregation) {
    case 'average':
      return evenly ?? g.expand(g.scalar(1 / P), [N, P])
    case 'static':
      return g.expand(softmax(weights(`${at}.logits`, [P])), [N, P])
    case 'dynamic': {
      // The stream index runs fastest: entry h * P + p is feature h of stream p.
      const read = kept ? g.mul(hidden, g.unsqueeze(kept, 2)) : hidden
      const together = g.reshape(g.transpose(read, [0, 2, 1]), [N, H * P]) // [N, H*P]
      const inner = silu(g, linear(g, weights, together, { name: `${at}.0`, out: H, bias: weights(`${at}.0.bias`, [H]) })) // [N, H]
      return softmax(linear(g, weights, inner, { name: `${at}.2`, out: P, bias: weights(`${at}.2.bias`, [P]) }))
    }
  }
}

/** The output embedding, applied once, after aggregation: [N, H] to logits [N, vocabulary]. */
export function outputEmbedding(g: GraphBuilder, config: ModelConfig, weights: Weights, tied: boolean, hidden: Value): Value {
  const { logitSoftCap: cap } = config.features
  const logits = linear(g, weights, hidden, { name: tied ? 'model.embed_tokens' : 'lm_head', out: config.vocabSize })
  return cap === null ? logits : g.mul(g.tanh(g.mul(logits, g.scalar(1 / cap))), g.scalar(cap))
}
