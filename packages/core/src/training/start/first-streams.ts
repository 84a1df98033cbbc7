/** Streams for a smaller P than a model has: its first ones go on. */
import { elementCount } from '../../model/index.ts'

/**
 * What a tensor has of the first P streams: the first ones along the axis that counts them, and of the aggregator's first matrix
 * [H, H * P], in whose columns the stream runs fastest (model/parscale.ts), the columns that read them.
 *
 * @param values of shape `stored`, of a model with `streams.stored` streams
 * @param shape that is wanted for `streams.wanted` of them
 * @returns `values` where the shapes are the same; undefined where they differ by more than fewer streams
 */
export function firstStreams(
  values: Float32Array,
  stored: readonly number[],
  shape: readonly number[],
  streams: { readonly stored: number; readonly wanted: number },
): Float32Array | undefined {
  if (!hasFirstStreams(stored, shape, streams)) return undefined
  const axis = stored.findIndex((size, i) => size !== shape[i])
  if (axis < 0) return values
  // How many numbers in a row belong to one stream: all behind the axis that counts streams, one where the stream runs fastest.
  const inner = axis === 0 ? elementCount(stored.slice(1)) : 1
  const [from, to] = [streams.stored * inner, streams.wanted * inner]
  const block = new Float32Array(elementCount(shape))
  for (let i = 0; i < block.length / to; i++) block.set(values.subarray(i * from, i * from + to), i * to)
  return block
}

/** Whether `shape` can be had from `stored`: it is the same, or has fewer streams along one axis. */
export function hasFirstStreams(
  stored: readonly number[],
  shape: readonly number[],
  streams: { readonly stored: number; readonly wanted: number },
): boolean {
  if (stored.length !== shape.length) return false
  const differing = shape.flatMap((size, i) => (size === stored[i] ? [] : [i]))
  if (differing.length === 0) return true
  const [axis] = differing as [number]
  return (
    differing.length === 1 && streams.wanted < streams.stored && shape[axis]! * streams.stored === stored[axis]! * streams.wanted
  )
}
