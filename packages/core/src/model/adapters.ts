/**
 * The formulas of streams.ts in the graph: what the decoder's hook does to linear layers and norms. It finds a stream's tensors by
 * name and knows no kinds; whose rows they are is known to its callers.
 */
import type { Dim, GraphBuilder, Value } from '../graph/index.ts'
import type { ModelConfig } from './config.ts'
import type { Adapt } from './decoder.ts'
import { biasName, gainName, inputParameters, inputScaleName, loraName, outputScaleName } from './streams.ts'
import type { Weights } from './weights.ts'

/**
 * The hook for rows that are laid out as [..., T].
 *
 * @param tensorOf the rows' tensor of that name, its leading axes repeated against these; undefined: there is none
 */
function adaptRows(g: GraphBuilder, layout: readonly Dim[], tensorOf: (name: string) => Value | undefined): Adapt {
  const asRows = (x: Value) => g.reshape(x, [...layout, x.shape[1]!])
  const scaled = (x: Value, name: string): Value => {
    const scale = tensorOf(name)
    return scale ? g.scope('adapter', () => g.reshape(g.mul(asRows(x), scale), x.shape)) : x
  }
  return {
    input: (name, x) => scaled(x, inputScaleName(name)),
    norm: (name, y) => scaled(y, gainName(name)),
    output: (name, x, y) => {
      const [a, b, bias] = [tensorOf(loraName(name, 'A')), tensorOf(loraName(name, 'B')), tensorOf(biasName(name))]
      const product = scaled(y, outputScaleName(name))
      if (!(a && b) && !bias) return product
      return g.scope('adapter', () => {
        let out = asRows(product)
        if (a && b) {
          const low = g.matMul(asRows(x), lastTwoSwapped(g, a)) // [..., T, rank]
          out = g.add(out, g.matMul(low, lastTwoSwapped(g, b)))
        }
        if (bias) out = g.add(out, bias)
        return g.reshape(out, y.shape)
      })
    },
  }
}

const lastTwoSwapped = (g: GraphBuilder, x: Value): Value => g.transpose(x, [0, 2, 1])

/**
 * The hook for rows [B, P, T] of whole sets of streams, side by side as in training, with the streams' tensors as graph values.
 * Undefined where nothing but prefixes tells the streams apart.
 */
export function streamAdapt(g: GraphBuilder, config: ModelConfig, weights: Weights, layout: readonly Dim[]): Adapt | undefined {
  const adapters = inputParameters(config).filter(({ part }) => part === 'adapter')
  const shapes = new Map(adapters.map(({ name, shape }) => [name, shape]))
  if (shapes.size === 0) return undefined
  return adaptRows(g, layout, (name) => {
    const shape = shapes.get(name)
    return shape && weights(name, shape)
  })
}

/**
 * The hook for rows [R, T] of any streams: row r takes the adapter `streamIds[r]` out of `bank`, which has a value
 * [adapters, ...] for each of the tensor names that it knows.
 */
export const bankAdapt = (g: GraphBuilder, bank: ReadonlyMap<string, Value>, streamIds: Value, layout: readonly Dim[]): Adapt =>
  adaptRows(g, layout, (name) => {
    const all = bank.get(name)
    return all && g.gather(all, streamIds)
  })
