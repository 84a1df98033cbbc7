/**
 * What tells the rows of a training batch apart. Its rows are [P, B]: a stream's rows lie together, so that what streams own,
 * [P, ...], is one matrix of a product over all of a stream's rows, or is repeated over them by broadcasting.
 *
 * Axes: B sequences, P streams, T predicted positions, K key/value heads, D head size.
 */
import type { Dim, GraphBuilder, Value } from '../../graph/index.ts'
import {
  gateFloor,
  gateName,
  type KeyValue,
  type ModelConfig,
  prefixName,
  sharedPositions,
  type Weights,
} from '../../model/index.ts'

/**
 * Keys and values of a layer behind each stream's prefix, and behind them those of the first stream that rows share (own-window.ts):
 * [P*B, K, T, D] to [P*B, K, nTokens + T + sharedPositions, D]. Joined, other than when decoding: here the scores are larger than the keys.
 */
export function attendedKeys(
  g: GraphBuilder,
  config: ModelConfig,
  weights: Weights,
  layer: number,
  B: number,
  present: KeyValue,
): KeyValue {
  const { n: P, nTokens } = config.parscale
  const [K, D] = [config.numKeyValueHeads, config.headDim]
  const T = present.key.shape[2] as number
  const S = sharedPositions(config.parscale, T)
  const prefix = (which: 'k' | 'v') => {
    const own = weights(prefixName(layer, which), [P, K, nTokens, D])
    return g.reshape(g.expand(g.unsqueeze(own, 1), [P, B, K, nTokens, D]), [P * B, K, nTokens, D])
  }
  const shared = (x: Value) => {
    const [first] = g.split(g.reshape(x, [P, B, K, T, D]), [1, P - 1], 0) as [Value, Value]
    const [seen] = g.split(first, [S, T - S], 3) as [Value, Value]
    return g.reshape(g.expand(seen, [P, B, K, S, D]), [P * B, K, S, D])
  }
  const join = (which: 'k' | 'v', x: Value) =>
    g.concat([...(nTokens > 0 ? [prefix(which)] : []), x, ...(S > 0 ? [shared(x)] : [])], 2)
  return { key: join('k', present.key), value: join('v', present.value) }
}

/** log gamma (model/stream-gate.ts) as something to add to a mask: 0 at the `places` behind the prefix. [P, 1, nTokens + places] */
export function gateScores(g: GraphBuilder, config: ModelConfig, weights: Weights, places: number): Value {
  const { n: P, nTokens } = config.parscale
  const gate = weights(gateName, [P])
  const square = g.add(g.mul(gate, gate), g.scalar(gateFloor ** 2))
  const score = g.reshape(g.mul(g.log(square), g.scalar(0.5)), [P, 1, 1])
  return g.concat([g.expand(score, [P, 1, nTokens]), g.expand(g.scalar(0), [P, 1, places])], 2)
}

/** A mask [1, 1, T, places] or [B, 1, T, places] with each stream's scores [P, 1, places] on top: [P*B, 1, T, places]. */
export function gatedMask(g: GraphBuilder, mask: Value, scores: Value, B: number): Value {
  const [, , T, places] = mask.shape as [Dim, Dim, number, number]
  const P = scores.shape[0] as number
  const byRow = g.reshape(mask, [1, mask.shape[0]!, T, places])
  return g.reshape(g.add(g.expand(g.unsqueeze(scores, 1), [P, B, 1, places]), byRow), [P * B, 1, T, places])
}
