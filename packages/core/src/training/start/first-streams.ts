/** Streams for a smaller P than a model has: its first ones go on. */
import { elementCount } from '../../model/index.ts'

/**
 * The leading block of a tensor along the one axis that counts streams: the first P of what each stream has, the columns of the
 * aggregator that read them, the rows that weigh them.
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
  const inner = elementCount(stored.slice(axis + 1))
  const [from, to] = [stored[axis]! * inner, shape[axis]! * inner]
  const block = new Float32Array(elementCount(shape))
  for (let i = 0; i < elementCount(stored.slice(0, axis)); i++) block.set(values.subarray(i * from, i * from + to), i * to)
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
