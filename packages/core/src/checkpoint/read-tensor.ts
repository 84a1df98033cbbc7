/** Tensor data in pieces or whole, and between the element types that weights have. Hosts are little-endian, as the files. */
import { elementCount } from '../model/parameters.ts'
import { narrowToBfloats, narrowToHalves, widenBfloats, widenHalves } from './half.ts'
import type { AnyDType, StoredDType, StoredTensor } from './tensor.ts'

/** Piece size in bytes: large enough that reads are cheap, small enough that memory stays flat. A multiple of 4. */
export const chunkBytes = 4 << 20

/** All elements as float32; F16 and BF16 are widened exactly. The array is the caller's own. */
export async function readF32(tensor: StoredTensor): Promise<Float32Array<ArrayBuffer>> {
  const values = new Float32Array(elementCount(tensor.shape))
  let filled = 0
  for await (const bytes of readChunks(tensor)) {
    const widened = widen(bytes, tensor.dtype)
    new Uint32Array(values.buffer).set(widened, filled)
    filled += widened.length
  }
  return values
}

/** All bytes as they are stored. The array is the caller's own. */
export async function readStored(tensor: StoredTensor<AnyDType>): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(tensor.byteLength)
  let filled = 0
  for await (const bytes of readChunks(tensor)) {
    all.set(bytes, filled)
    filled += bytes.byteLength
  }
  return all
}

/** The stored bytes in order, in pieces of whole elements. */
export async function* readChunks(tensor: StoredTensor<AnyDType>): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < tensor.byteLength; done += chunkBytes) {
    yield await tensor.source.read(tensor.offset + done, Math.min(chunkBytes, tensor.byteLength - done))
  }
}

/** Turns a piece of one element type into another: widening is exact, narrowing rounds to nearest, ties to even. */
export function castBytes(bytes: Uint8Array, from: StoredDType, to: StoredDType): Uint8Array {
  if (from === to) return bytes
  const wide = widen(bytes, from)
  if (to === 'F32') return new Uint8Array(wide.buffer, wide.byteOffset, wide.byteLength)
  const halves = new Uint16Array(wide.length)
  if (to === 'F16') narrowToHalves(wide, halves)
  else narrowToBfloats(wide, halves)
  return new Uint8Array(halves.buffer)
}

/** How many elements of a piece are infinite or no number: more after a cast than before means that some did not fit. */
export function countNonFinite(bytes: Uint8Array, dtype: StoredDType): number {
  const elements = dtype === 'F32' ? new Uint32Array(...aligned(bytes, 4)) : new Uint16Array(...aligned(bytes, 2))
  const exponent = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 }[dtype]
  let count = 0
  for (let i = 0; i < elements.length; i++) if ((elements[i]! & exponent) === exponent) count++
  return count
}

/** Float32 bits of a piece's elements. */
function widen(bytes: Uint8Array, dtype: StoredDType): Uint32Array {
  if (dtype === 'F32') return new Uint32Array(...aligned(bytes, 4))
  const halves = new Uint16Array(...aligned(bytes, 2))
  const out = new Uint32Array(halves.length)
  if (dtype === 'F16') widenHalves(halves, out)
  else widenBfloats(halves, out)
  return out
}

/** Buffer, offset and length for a typed-array view of these bytes; copies them where they are not aligned. */
function aligned(bytes: Uint8Array, elementBytes: number): [ArrayBufferLike, number, number] {
  const view = bytes.byteOffset % elementBytes === 0 ? bytes : bytes.slice()
  return [view.buffer, view.byteOffset, view.byteLength / elementBytes]
}
