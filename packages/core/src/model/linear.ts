/** The two uses of a matrix, whether it is stored in full or quantised: multiplied with, or looked up row by row. */
import type { Dim, GraphBuilder, Value } from '../graph/index.ts'
import type { Weights } from './weights.ts'

/**
 * Arithmetic of products with quantised weights: the rows that they are multiplied with are rounded to int8 by blocks too,
 * for the processor's int8 instructions. What that costs in accuracy and gains in time is in docs/log.md.
 */
const accuracyLevel = 4

export interface LinearLayer {
  /** Of the weight, without `.weight`. */
  readonly name: string
  readonly out: number
  readonly bias?: Value | undefined
}

/** x [rows, in] to [rows, out], by the weight [out, in]. */
export const linear = (g: GraphBuilder, weights: Weights, x: Value, layer: LinearLayer): Value =>
  quantisedProduct(g, weights, x, [layer]) ?? plainProduct(g, weights, x, layer)

/** Layers with the same input. Quantised weights that lie side by side are multiplied with at once: one large product is faster. */
export function linears(g: GraphBuilder, weights: Weights, x: Value, layers: readonly LinearLayer[]): Value[] {
  const together = quantisedProduct(g, weights, x, layers)
  if (!together) return layers.map((layer) => linear(g, weights, x, layer))
  return g.split(
    together,
    layers.map(({ out }) => out),
    -1,
  )
}

const plainProduct = (g: GraphBuilder, weights: Weights, x: Value, { name, out, bias }: LinearLayer): Value =>
  g.linear(x, weights(`${name}.weight`, [out, x.shape.at(-1) as number]), bias)

/** The outputs of all layers side by side; undefined when their weights are not quantised and neighbours. */
function quantisedProduct(g: GraphBuilder, weights: Weights, x: Value, layers: readonly LinearLayer[]): Value | undefined {
  const [rows, inner] = x.shape as [Dim, number]
  const named = layers.map(({ name, out }) => ({ name: `${name}.weight`, shape: [out, inner] as const }))
  const quantised = weights.quantised?.(named, 'product')
  if (!quantised) return undefined
  const { matrix, offsets } = quantised
  const biases = layers.flatMap(({ bias }) => bias ?? [])
  const bias = biases.length > 0 ? g.concat(biases, 0) : undefined
  const y = g.quantisedLinear(x, matrix, { bias, accuracyLevel })
  if (!offsets) return y
  const blocks = offsets.shape[1]!
  const sums = g.reduceSum(g.reshape(x, [rows, blocks, matrix.blockSize]), [2]) // [rows, blocks, 1]
  return g.add(y, g.linear(g.reshape(sums, [rows, blocks]), offsets))
}

/** Rows `ids` [...] of the matrix `name` [vocabulary, hidden] as float32 [..., hidden]: only these are widened. */
export function lookUp(g: GraphBuilder, weights: Weights, name: string, shape: readonly [number, number], ids: Value): Value {
  const quantised = weights.quantised?.([{ name, shape }], 'rows')
  if (quantised) {
    const { matrix, offsets } = quantised
    const rows = g.quantisedGather(matrix, ids)
    if (!offsets) return rows
    const blocks = [...ids.shape, offsets.shape[1]!, matrix.blockSize]
    const shifted = g.add(g.reshape(rows, blocks), g.unsqueeze(g.gather(offsets, ids), ids.shape.length + 1))
    return g.reshape(shifted, rows.shape)
  }
  return g.cast(g.gather(weights(name, shape, 'stored'), ids), 'float32')
}
