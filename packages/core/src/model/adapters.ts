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

/** What decides how a training graph adapts linear layers. */
export interface StreamRows {
  /** Of each stream. */
  readonly rows: number
  /** Names of the stored tensors that get gradients. */
  readonly trained: ReadonlySet<string>
}

/**
 * The same by weights of each stream's own, W_p = (s_p W + B_p A_p) r_p^T, with which its rows [P, rows] are multiplied: scales and
 * LoRA cost no pass over rows, forward or backward, but some over P weights. It gives nothing where those would be more, or where the
 * weights get no gradient: theirs would be a product on top.
 */
function adaptWeights(
  g: GraphBuilder,
  P: number,
  { rows, trained }: StreamRows,
  tensorOf: (name: string) => Value | undefined,
): NonNullable<Adapt['linears']> {
  return (together, x, layers) => {
    const inner = x.shape[1] as number
    const out = layers.reduce((sum, layer) => sum + layer.out, 0)
    const r = tensorOf(inputScaleName(together))
    const own = layers.map(({ name }) => ({
      s: tensorOf(outputScaleName(name)),
      a: tensorOf(loraName(name, 'A')),
      b: tensorOf(loraName(name, 'B')),
      bias: tensorOf(biasName(name)),
    }))
    if (!r && own.every(({ s, a, b }) => !s && !(a && b))) return undefined
    if (2 * out * inner > rows * (out + inner) || !layers.every(({ stored }) => trained.has(stored))) return undefined
    return g.scope('adapter', () => {
      const byStream = g.reshape(x, [P, rows, inner])
      return layers.map((layer, i) => {
        const { s, a, b, bias } = own[i]!
        let weight = layer.weight()
        if (s) weight = g.mul(weight, g.reshape(s, [P, layer.out, 1]))
        if (a && b) weight = g.add(weight, g.matMul(b, a))
        if (r) weight = g.mul(weight, r) // [P, out, in]
        let y =
          P === 1
            ? g.reshape(g.linear(x, g.reshape(weight, [layer.out, inner])), [P, rows, layer.out])
            : g.matMul(byStream, lastTwoSwapped(g, weight))
        let addend = layer.bias()
        if (addend && s) addend = g.mul(addend, s)
        if (bias) addend = addend ? g.add(addend, bias) : bias
        if (addend) y = g.add(y, addend)
        return g.reshape(y, [P * rows, layer.out])
      })
    })
  }
}

const lastTwoSwapped = (g: GraphBuilder, x: Value): Value => g.transpose(x, [0, 2, 1])

/**
 * The hook for all rows of stream 0, then those of stream 1, as in training, with the streams' tensors as graph values. Undefined where
 * nothing but prefixes tells the streams apart.
 */
export function streamAdapt(g: GraphBuilder, config: ModelConfig, weights: Weights, of: StreamRows): Adapt | undefined {
  const adapters = inputParameters(config).filter(({ part }) => part === 'adapter')
  const shapes = new Map(adapters.map(({ name, shape }) => [name, shape]))
  if (shapes.size === 0) return undefined
  const tensorOf = (name: string) => {
    const shape = shapes.get(name)
    return shape && weights(name, shape)
  }
  const { n: P } = config.parscale
  return { ...adaptRows(g, [P, of.rows], tensorOf), linears: adaptWeights(g, P, of, tensorOf) }
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
