/** Tensors on their way from one file to another: a description, and data that arrives in pieces. */
import { elementCount } from '../model/parameters.ts'
import { castBytes, readChunks } from './read-tensor.ts'
import { type AnyDType, dtypeBits, isLoadable, type StoredDType, type StoredTensor } from './tensor.ts'

export interface TensorStream {
  readonly name: string
  readonly dtype: AnyDType
  readonly shape: readonly number[]
  /** The data in order, in pieces of whole elements, `streamBytes` in all. Can be asked for again. */
  chunks(): AsyncIterable<Uint8Array>
}

/** Length of the whole data in bytes. */
export const streamBytes = (stream: TensorStream): number => (elementCount(stream.shape) * dtypeBits[stream.dtype]) / 8

/** A stored tensor as it is, or as another element type. Tensors that are no weights stay as they are. */
export function streamTensor(tensor: StoredTensor<AnyDType>, dtype?: StoredDType): TensorStream {
  const { name, shape } = tensor
  const chunks = () => readChunks(tensor)
  if (dtype === undefined || !isLoadable(tensor)) return { name, shape, dtype: tensor.dtype, chunks }
  return castStream({ name, shape, dtype: tensor.dtype, chunks }, dtype)
}

/** The same tensor in another element type; see castBytes for rounding. */
export function castStream(stream: TensorStream & { readonly dtype: StoredDType }, dtype: StoredDType): TensorStream {
  if (stream.dtype === dtype) return stream
  return {
    ...stream,
    dtype,
    async *chunks() {
      for await (const bytes of stream.chunks()) yield castBytes(bytes, stream.dtype, dtype)
    },
  }
}
