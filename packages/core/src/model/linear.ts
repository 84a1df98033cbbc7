/** The two uses of a matrix, whether it is stored in full or quantised: multiplied with, or looked up row by row. */
import type { GraphBuilder, Value } from '../graph/index.ts'
import type { Weights } from './weights.ts'

/**
 * Arithmetic of products with quantised weights: the rows that they are multiplied with are rounded to int8 by blocks too,
 * for the processor's int8 instructions. What that costs in accuracy and gains in time is in docs/log.md.
 */
const accuracyLevel = 4

/** x [rows, in] to [rows, out]: the linear layer called `name`, whose weight is `name`.weight [out, in]. */
export function linear(g: GraphBuilder, weights: Weights, name: string, x: Value, out: number, bias?: Value): Value {
  const shape = [out, x.shape.at(-1) as number] as const
  const quantised = weights.quantised?.(`${name}.weight`, shape, 'product')
  if (quantised) {
    const { matrix, offsets } = quantised
    const y = g.quantisedLinear(x, matrix, { bias, accuracyLevel })
    if (!offsets) return y
    const [rows, blocks] = [x.shape[0]!, offsets.shape[1]!]
    const sums = g.reduceSum(g.reshape(x, [rows, blocks, matrix.blockSize]), [2]) // [rows, blocks, 1]
    return g.add(y, g.linear(g.reshape(sums, [rows, blocks]), offsets))
  }
  return g.linear(x, weights(`${name}.weight`, shape), bias)
}

/** Rows `ids` [...] of the matrix `name` [vocabulary, hidden] as float32 [..., hidden]: only these are widened. */
export function lookUp(g: GraphBuilder, weights: Weights, name: string, shape: readonly [number, number], ids: Value): Value {
  const quantised = weights.quantised?.(name, shape, 'rows')
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
