/** Tensors on their way from one file to another: a description, and data that arrives in pieces. */
import { usageError } from '../errors.ts'
import type { StoredRows } from '../model/index.ts'
import { elementCount } from '../model/parameters.ts'
import { blockFormats } from './gguf/blocks.ts'
import { castBytes, chunkBytes, countNonFinite, readChunks } from './read-tensor.ts'
import { type AnyDType, dtypeBits, isLoadable, type StoredDType, type StoredTensor } from './tensor.ts'

export interface TensorStream<D extends AnyDType = AnyDType> {
  readonly name: string
  readonly dtype: D
  readonly shape: readonly number[]
  /** Where they lie as they are, in a file of a path. */
  readonly rows?: StoredRows | undefined
  /** The data in order, in pieces of whole elements, `streamBytes` in all. Can be asked for again. */
  chunks(): AsyncIterable<Uint8Array>
}

/** Length of the whole data in bytes. */
export const streamBytes = (stream: Omit<TensorStream, 'chunks'>): number =>
  (elementCount(stream.shape) * dtypeBits[stream.dtype]) / 8

/** An array in memory. @throws usage error naming the tensor, when there are not as many numbers as its shape says */
export function arrayStream(name: string, shape: readonly number[], array: Float32Array): TensorStream<'F32'> {
  const expected = elementCount(shape)
  if (array.length !== expected) {
    throw usageError(`tensor ${name} of shape [${shape}] takes ${expected} numbers, got ${array.length}`, {
      tensor: name,
      expected,
      found: array.length,
    })
  }
  return {
    name,
    dtype: 'F32',
    shape,
    async *chunks() {
      for (let done = 0; done < array.byteLength; done += chunkBytes) {
        yield new Uint8Array(array.buffer, array.byteOffset + done, Math.min(chunkBytes, array.byteLength - done))
      }
    },
  }
}

/** A stored tensor, as it is. */
export function streamTensor<D extends AnyDType>(tensor: StoredTensor<D>): TensorStream<D> {
  const { name, dtype, shape } = tensor
  return { name, dtype, shape, rows: rowsOf(tensor), chunks: () => readChunks(tensor) }
}

function rowsOf({ dtype, shape, source, offset, byteLength }: StoredTensor<AnyDType>): StoredRows | undefined {
  if (source.path === undefined || !(dtype in blockFormats)) return undefined
  const rows = shape[0] ?? 1
  return { path: source.path, offset, type: blockFormats[dtype as StoredDType].id, rowBytes: byteLength / rows, interleaved: 0 }
}

/**
 * The same tensor in another element type; see castBytes for rounding. Tensors that are no weights stay as they are.
 *
 * @throws (its chunks) usage error naming the tensor, when a number is too large for the type
 */
export function castStream(stream: TensorStream, dtype: StoredDType): TensorStream {
  if (!isLoadable(stream) || stream.dtype === dtype) return stream
  const { name, shape, dtype: from } = stream
  return {
    name,
    shape,
    dtype,
    async *chunks() {
      for await (const bytes of stream.chunks()) {
        const cast = castBytes(bytes, from, dtype)
        if (countNonFinite(cast, dtype) > countNonFinite(bytes, from)) {
          throw usageError(`tensor ${name} holds numbers too large for ${dtype}; choose a wider type`, {
            tensor: name,
            expected: dtype,
          })
        }
        yield cast
      }
    },
  }
}
