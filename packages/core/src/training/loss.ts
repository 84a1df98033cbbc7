/**
 * The training loss: weighted mean cross-entropy of the next token, over the same decoder and aggregation as generation.
 * All P streams of all sequences are rows of one forward pass without a cache; a prefix is the past that every row begins
 * with, and is trained like any other parameter.
 *
 * Axes: B sequences, P streams, T predicted positions, H hidden, K key/value heads, D head size, V vocabulary.
 */
import type { GraphBuilder, Value } from '../graph/index.ts'
import {
  aggregate,
  decoder,
  type KeyValue,
  type ModelConfig,
  maskName,
  outputEmbedding,
  prefixName,
  type Weights,
} from '../model/index.ts'

export interface BatchShape {
  /** B */
  readonly sequences: number
  /** T: predicted positions per sequence, one less than the tokens it has. */
  readonly tokens: number
}

/**
 * Adds inputs (see loss-feeds.ts) and forward pass; returns the loss in nats, of rank 0.
 *
 * Inputs: `input_ids` int64 [B*P, T], the rows of a sequence side by side; `cos`, `sin` [B*P, T, D/2]; `mask` (and
 * `mask.windowW`) [B*P, 1, T, prefix + T]; `targets` int64 [B*T, 1]; `loss_weights` [B*T, 1], which sum to 1 where the
 * loss is to be a mean.
 */
export function nextTokenLoss(g: GraphBuilder, config: ModelConfig, tied: boolean, weights: Weights, shape: BatchShape): Value {
  const { sequences: B, tokens: T } = shape
  const { hiddenSize, headDim } = config
  const { n: P, nTokens } = config.parscale
  const inputIds = g.input('input_ids', 'int64', [B * P, T])
  const cos = g.input('cos', 'float32', [B * P, T, headDim / 2])
  const sin = g.input('sin', 'float32', [B * P, T, headDim / 2])
  const targets = g.input('targets', 'int64', [B * T, 1])
  const lossWeights = g.input('loss_weights', 'float32', [B * T, 1])
  const masks = new Map<number | null, Value>()
  for (const window of new Set(config.slidingWindows)) {
    masks.set(window, g.input(maskName(window), 'float32', [B * P, 1, T, nTokens + T]))
  }
  const { hidden } = decoder(g, config, weights, {
    inputIds,
    cos,
    sin,
    mask: (window) => masks.get(window)!,
    attended: (layer, present) => [nTokens === 0 ? present : behindPrefix(g, config, weights, layer, B, present)],
  })
  const streams = g.transpose(g.reshape(hidden, [B, P, T, hiddenSize]), [0, 2, 1, 3]) // [B, T, P, H]
  const together = g.reshape(streams, [B * T, P, hiddenSize])
  const aggregated = P === 1 ? g.reshape(together, [B * T, hiddenSize]) : aggregate(g, config, weights, together).hidden
  const logits = outputEmbedding(g, config, weights, tied, aggregated) // [B*T, V]
  return g.scope('loss', () => {
    // -log softmax(logits)[target], without an array of all log-probabilities.
    const surprisals = g.sub(g.reduceLogSumExp(logits, [1]), g.gatherElements(logits, targets, 1)) // [B*T, 1]
    return g.reshape(g.reduceSum(g.mul(surprisals, lossWeights), [0, 1]), [])
  })
}

/**
 * Keys and values of a layer behind each stream's prefix: [B*P, K, T, D] to [B*P, K, nTokens + T, D]. Joined, other than
 * when decoding: here the scores are larger than the keys.
 */
function behindPrefix(
  g: GraphBuilder,
  config: ModelConfig,
  weights: Weights,
  layer: number,
  B: number,
  present: KeyValue,
): KeyValue {
  const { n: P, nTokens } = config.parscale
  const [K, D] = [config.numKeyValueHeads, config.headDim]
  const join = (which: 'k' | 'v', x: Value) => {
    const prefix = weights(prefixName(layer, which), [P, K, nTokens, D])
    const rows = g.reshape(g.expand(g.unsqueeze(prefix, 0), [B, P, K, nTokens, D]), [B * P, K, nTokens, D])
    return g.concat([rows, x], 2)
  }
  return { key: join('k', present.key), value: join('v', present.value) }
}
