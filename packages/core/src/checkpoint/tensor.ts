import { type ParscaleError, unsupportedError } from '../errors.ts'
import type { ByteSource } from './byte-source.ts'

/** Element types that safetensors stores and that we load as weights. Spelled as the format spells them. */
export type StoredDType = 'F32' | 'F16' | 'BF16'

/** Bits per element of everything that safetensors defines. */
export const dtypeBits = {
  F32: 32,
  F16: 16,
  BF16: 16,
  F64: 64,
  I64: 64,
  U64: 64,
  C64: 64,
  I32: 32,
  U32: 32,
  I16: 16,
  U16: 16,
  I8: 8,
  U8: 8,
  BOOL: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
} as const

export type AnyDType = keyof typeof dtypeBits

/** Element types of tensors that are listed, but of which no weight can be made. */
export type OtherDType = Exclude<AnyDType, StoredDType>

/** One tensor of a checkpoint: where its bytes lie. Nothing is read until somebody asks. */
export interface StoredTensor<D extends AnyDType = StoredDType> {
  readonly name: string
  readonly dtype: D
  /** Row-major, as Hugging Face stores it: linear weights are [out, in]. */
  readonly shape: readonly number[]
  readonly source: ByteSource
  /** First byte within the source. */
  readonly offset: number
  readonly byteLength: number
}

/** Tensors by name. */
export type TensorStore = ReadonlyMap<string, StoredTensor>

/** A checkpoint's tensors, apart by whether weights can be made of them. */
export interface CheckpointTensors {
  readonly tensors: TensorStore
  readonly otherTensors: ReadonlyMap<string, StoredTensor<OtherDType>>
}

/** True where weights can be made of what this is: stored, or on its way. */
export function isLoadable<T extends { readonly dtype: string }>(tensor: T): tensor is T & { readonly dtype: StoredDType } {
  return tensor.dtype === 'F32' || tensor.dtype === 'F16' || tensor.dtype === 'BF16'
}

/** Sorts a list into what can be loaded and what can only be listed. */
export function sortTensors(list: readonly StoredTensor<AnyDType>[]): CheckpointTensors {
  const tensors = new Map<string, StoredTensor>()
  const otherTensors = new Map<string, StoredTensor<OtherDType>>()
  for (const tensor of list) {
    if (isLoadable(tensor)) tensors.set(tensor.name, tensor)
    else otherTensors.set(tensor.name, tensor as StoredTensor<OtherDType>)
  }
  return { tensors, otherTensors }
}

/**
 * The tensor of this name as a weight; undefined where the checkpoint has none.
 *
 * @throws unsupported error when it is there, but stored in a type that no weight is made of
 */
export function findTensor(checkpoint: CheckpointTensors, name: string): StoredTensor | undefined {
  const other = checkpoint.otherTensors.get(name)
  if (other) throw notLoadable(other.source.name, name, other.dtype)
  return checkpoint.tensors.get(name)
}

/** A tensor of which no weight can be made. */
export const notLoadable = (file: string, tensor: string, found: string): ParscaleError =>
  unsupportedError(
    `${file}: tensor ${tensor} is stored as ${found}; weights can be F32, F16 or BF16. Use a checkpoint that is not quantised`,
    { file, tensor, expected: ['F32', 'F16', 'BF16'], found },
  )
