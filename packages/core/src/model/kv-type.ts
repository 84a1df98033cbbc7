/** How a cache stores keys and values, and how the graph makes what is stored. */
import type { DType, GraphBuilder, Value } from '../graph/index.ts'

/**
 * `f32`: as computed. `f16`: rounded to 11 bits, half the memory. `int8`: rounded to 8 bits with a scale for each key and value of a
 * head, about a quarter.
 */
export const kvTypes = ['f32', 'f16', 'int8'] as const
export type KvType = (typeof kvTypes)[number]

/** As tensors of a graph. */
export const kvDTypes: Readonly<Record<KvType, DType>> = { f32: 'float32', f16: 'float16', int8: 'int8' }

const elementBytes: Readonly<Record<KvType, number>> = { f32: 4, f16: 2, int8: 1 }

/** Bytes of one key or one value of a head of the given size; of int8 with its scale, float32. */
export const kvBytes = (type: KvType, headDim: number): number => elementBytes[type] * headDim + (type === 'int8' ? 4 : 0)

/** Keys or values as stored: [R, K, positions, D] in the cache's type; for int8, each entry is times its scale, [R, K, positions]. */
export interface StoredKv {
  readonly codes: Value
  readonly scale: Value | undefined
}

/**
 * Rounds x [R, K, T, D] to what the cache stores. Tokens see those of their own step by this, too: in which chunks a text
 * comes must not matter. What is not finite stays so, in codes (f16) or scales (int8).
 */
export function storedKv(g: GraphBuilder, type: KvType, x: Value): StoredKv {
  if (type !== 'int8') return { codes: g.cast(x, kvDTypes[type]), scale: undefined }
  // The sum is only for NaN and infinity, which a maximum may not pass on.
  const largest = g.add(g.reduceMax(g.abs(x), [3]), g.mul(g.reduceSumSquare(x, [3]), g.scalar(0))) // [R, K, T, 1]
  // The smallest normal number keeps entries of zeros from being divided by 0.
  const scale = g.add(g.mul(largest, g.scalar(1 / 127)), g.scalar(2 ** -126))
  return { codes: g.cast(g.round(g.div(x, scale)), 'int8'), scale: g.reshape(scale, x.shape.slice(0, 3)) }
}
