import type { ByteSource } from './byte-source.ts'

/** Element types that safetensors stores and that we read. Spelled as the format spells them. */
export type StoredDType = 'F32' | 'F16' | 'BF16'

/** One tensor of a checkpoint: where its bytes lie. Nothing is read until somebody asks. */
export interface StoredTensor {
  readonly name: string
  readonly dtype: StoredDType
  /** Row-major, as Hugging Face stores it: linear weights are [out, in]. */
  readonly shape: readonly number[]
  readonly source: ByteSource
  /** First byte within the source. */
  readonly offset: number
  readonly byteLength: number
}

/** Tensors by name. */
export type TensorStore = ReadonlyMap<string, StoredTensor>
