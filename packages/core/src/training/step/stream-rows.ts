/**
 * What tells the rows of a training batch apart. Its rows are [P, B]: a stream's rows lie together, so that what streams own,
 * [P, ...], is one matrix of a product over all of a stream's rows, or is repeated over them by broadcasting.
 *
 * Axes: B sequences, P streams, T predicted positions, K key/value heads, D head size.
 */
import type { Dim, GraphBuilder, Value } from '../../graph/index.ts'
import { gateFloor, gateName, type KeyValue, type ModelConfig, prefixName, type Weights } from '../../model/index.ts'

/**
 * Keys and values of a layer behind each stream's prefix: [P*B, K, T, D] to [P*B, K, nTokens + T, D]. Joined, other than
 * when decoding: here the scores are larger than the keys.
 */
export function behindPrefix(
  g: GraphBuilder,
  config: ModelConfig,
  weights: Weights,
  layer: number,
  B: number,
  present: KeyValue,
): KeyValue {
  const { n: P, nTokens } = config.parscale
  const [K, D] = [config.numKeyValueHeads, config.headDim]
  if (nTokens === 0) return present
  const join = (which: 'k' | 'v', x: Value) => {
    const prefix = weights(prefixName(layer, which), [P, K, nTokens, D])
    const rows = g.reshape(g.expand(g.unsqueeze(prefix, 1), [P, B, K, nTokens, D]), [P * B, K, nTokens, D])
    return g.concat([rows, x], 2)
  }
  return { key: join('k', present.key), value: join('v', present.value) }
}

/** log gamma (model/stream-gate.ts) as something to add to a mask: 0 at the T new tokens' places. [P, 1, nTokens + T] */
export function gateScores(g: GraphBuilder, config: ModelConfig, weights: Weights, T: number): Value {
  const { n: P, nTokens } = config.parscale
  const gate = weights(gateName, [P])
  const square = g.add(g.mul(gate, gate), g.scalar(gateFloor ** 2))
  const score = g.reshape(g.mul(g.log(square), g.scalar(0.5)), [P, 1, 1])
  return g.concat([g.expand(score, [P, 1, nTokens]), g.expand(g.scalar(0), [P, 1, T])], 2)
}

/** A mask [1, 1, T, places] or [B, 1, T, places] with each stream's scores [P, 1, places] on top: [P*B, 1, T, places]. */
export function gatedMask(g: GraphBuilder, mask: Value, scores: Value, B: number): Value {
  const [, , T, places] = mask.shape as [Dim, Dim, number, number]
  const P = scores.shape[0] as number
  const byRow = g.reshape(mask, [1, mask.shape[0]!, T, places])
  return g.reshape(g.add(g.expand(g.unsqueeze(scores, 1), [P, B, 1, places]), byRow), [P * B, 1, T, places])
}
