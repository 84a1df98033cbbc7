/**
 * Streams told apart in the linear layers instead of by a prefix, as in the paper's appendix. Stream p adds to the output of
 * every linear layer of the decoder
 *
 *   lora (arXiv 2106.09685):   B_p A_p x, of rank `loraRank`, without a further factor
 *   bitfit (arXiv 2106.10199): a bias b_p
 *
 * The decoder only calls a hook; whose rows they are is known here and by its callers.
 */
import type { Dim, GraphBuilder, Value } from '../graph/index.ts'
import type { ModelConfig } from './config.ts'
import type { Adapt } from './decoder.ts'
import { biasName, loraName } from './parameters.ts'
import type { Weights } from './weights.ts'

/** What a linear layer's output is changed by, for rows that are laid out as [..., T]; absent: nothing. */
export interface LayerAdapter {
  /** a [..., rank, in], b [..., out, rank] */
  readonly lora?: { readonly a: Value; readonly b: Value }
  /** [..., 1, out] */
  readonly bias?: Value
}

/** y [rows, out] from x [rows, in], both seen as [...leading, T, *], with the adapter's leading axes repeated against these. */
export function adaptLinear(g: GraphBuilder, layout: readonly Dim[], x: Value, y: Value, { lora, bias }: LayerAdapter): Value {
  let out = g.reshape(y, [...layout, y.shape[1]!])
  if (lora) {
    const low = g.matMul(g.reshape(x, [...layout, x.shape[1]!]), lastTwoSwapped(g, lora.a)) // [..., T, rank]
    out = g.add(out, g.matMul(low, lastTwoSwapped(g, lora.b)))
  }
  if (bias) out = g.add(out, bias)
  return g.reshape(out, y.shape)
}

const lastTwoSwapped = (g: GraphBuilder, x: Value): Value => g.transpose(x, [0, 2, 1])

/**
 * The hook for rows [B, P, T] of whole sets of streams, side by side as in training, with the streams' tensors as graph values.
 * Undefined where the streams differ by a prefix, or not at all.
 */
export function streamAdapt(g: GraphBuilder, config: ModelConfig, weights: Weights, layout: readonly Dim[]): Adapt | undefined {
  const { n: P, input, loraRank: rank } = config.parscale
  if (input !== 'lora' && input !== 'bitfit') return undefined
  return (name, x, y) => {
    const [inner, out] = [x.shape[1] as number, y.shape[1] as number]
    const adapter: LayerAdapter =
      input === 'bitfit'
        ? { bias: weights(biasName(name), [P, 1, out]) }
        : { lora: { a: weights(loraName(name, 'A'), [P, rank, inner]), b: weights(loraName(name, 'B'), [P, out, rank]) } }
    return g.scope('adapter', () => adaptLinear(g, layout, x, y, adapter))
  }
}

/**
 * The hook for rows [R, T] of any streams: row r takes the adapter `streamIds[r]` out of `bank`, which has a value
 * [adapters, ...] for each of the tensor names that it knows.
 */
export function bankAdapt(g: GraphBuilder, bank: ReadonlyMap<string, Value>, streamIds: Value, layout: readonly Dim[]): Adapt {
  const rowsOf = (tensor: string): Value | undefined => {
    const all = bank.get(tensor)
    return all && g.gather(all, streamIds)
  }
  return (name, x, y) =>
    g.scope('adapter', () => {
      const [a, b, bias] = [rowsOf(loraName(name, 'A')), rowsOf(loraName(name, 'B')), rowsOf(biasName(name))]
      return adaptLinear(g, layout, x, y, { ...(a && b ? { lora: { a, b } } : {}), ...(bias ? { bias } : {}) })
    })
}
