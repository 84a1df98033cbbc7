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
  if (quantised) return g.quantisedLinear(x, quantised, { bias, accuracyLevel })
  return g.linear(x, weights(`${name}.weight`, shape), bias)
}

/** Rows `ids` [...] of the matrix `name` [vocabulary, hidden] as float32 [..., hidden]: only these are widened. */
export function lookUp(g: GraphBuilder, weights: Weights, name: string, shape: readonly [number, number], ids: Value): Value {
  const quantised = weights.quantised?.(name, shape, 'rows')
  if (quantised) return g.quantisedGather(quantised, ids)
  return g.cast(g.gather(weights(name, shape, 'stored'), ids), 'float32')
}
