/**
 * Writes GGUF version 3, for tests and benches: readers need files whose every byte is known, and benches need models of
 * a given shape. Nothing that ships writes GGUF.
 */
import { blockFormats, type GgmlType } from '../gguf-blocks.ts'
import type { ByteSink } from '../safetensors-writer.ts'

/** A metadata value with its type as the specification calls it. */
export type GgufEntry =
  | { readonly type: 'uint8' | 'uint32' | 'int32' | 'float32' | 'float64'; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | {
      readonly type: 'array'
      readonly of: Exclude<GgufEntry['type'], 'array'>
      readonly value: readonly (number | bigint | boolean | string)[]
    }

export interface GgufTensorToWrite {
  readonly name: string
  readonly type: GgmlType
  /** Row-major, slowest axis first. */
  readonly shape: readonly number[]
  /** The blocks, in pieces. */
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export const uint32 = (value: number): GgufEntry => ({ type: 'uint32', value })
export const float32 = (value: number): GgufEntry => ({ type: 'float32', value })
export const text = (value: string): GgufEntry => ({ type: 'string', value })

const typeNumbers = {
  uint8: 0,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const
const alignment = 32

/** Streams a whole file: header, then each tensor's data, padded to 32 bytes. */
export async function writeGguf(
  sink: ByteSink,
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  const header = ggufHeader(metadata, tensors)
  await sink.write(header)
  await sink.write(padding(header.byteLength))
  for (const tensor of tensors) {
    for await (const bytes of tensor.chunks()) await sink.write(bytes)
    await sink.write(padding(dataBytes(tensor)))
  }
}

/** The bytes before the padding and the data. */
export function ggufHeader(
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: readonly Omit<GgufTensorToWrite, 'chunks'>[],
): Uint8Array {
  const parts: Uint8Array[] = [new TextEncoder().encode('GGUF'), scalar('uint32', 3)]
  parts.push(scalar('uint64', BigInt(tensors.length)), scalar('uint64', BigInt(Object.keys(metadata).length)))
  for (const [key, entry] of Object.entries(metadata)) parts.push(scalar('string', key), ...entryBytes(entry))
  let offset = 0
  for (const tensor of tensors) {
    parts.push(scalar('string', tensor.name), scalar('uint32', tensor.shape.length))
    for (const size of tensor.shape.toReversed()) parts.push(scalar('uint64', BigInt(size)))
    parts.push(scalar('uint32', blockFormats[tensor.type].id), scalar('uint64', BigInt(offset)))
    offset += dataBytes(tensor) + padding(dataBytes(tensor)).byteLength
  }
  return concat(parts)
}

function entryBytes(entry: GgufEntry): Uint8Array[] {
  const type = scalar('uint32', typeNumbers[entry.type])
  if (entry.type !== 'array') return [type, scalar(entry.type, entry.value)]
  const length = scalar('uint64', BigInt(entry.value.length))
  return [type, scalar('uint32', typeNumbers[entry.of]), length, ...entry.value.map((value) => scalar(entry.of, value))]
}

function scalar(type: Exclude<GgufEntry['type'], 'array'>, value: number | bigint | boolean | string): Uint8Array {
  if (type === 'string') {
    const bytes = new TextEncoder().encode(value as string)
    return concat([scalar('uint64', BigInt(bytes.byteLength)), bytes])
  }
  const view = new DataView(new ArrayBuffer(8))
  switch (type) {
    case 'uint8':
    case 'bool':
      view.setUint8(0, Number(value))
      return new Uint8Array(view.buffer, 0, 1)
    case 'uint32':
      view.setUint32(0, value as number, true)
      return new Uint8Array(view.buffer, 0, 4)
    case 'int32':
      view.setInt32(0, value as number, true)
      return new Uint8Array(view.buffer, 0, 4)
    case 'float32':
      view.setFloat32(0, value as number, true)
      return new Uint8Array(view.buffer, 0, 4)
    case 'float64':
      view.setFloat64(0, value as number, true)
      return new Uint8Array(view.buffer)
    case 'uint64':
      view.setBigUint64(0, value as bigint, true)
      return new Uint8Array(view.buffer)
    case 'int64':
      view.setBigInt64(0, value as bigint, true)
      return new Uint8Array(view.buffer)
  }
}

const dataBytes = ({ type, shape }: Omit<GgufTensorToWrite, 'chunks'>): number =>
  (shape.reduce((product, size) => product * size, 1) / blockFormats[type].elements) * blockFormats[type].bytes

const padding = (length: number): Uint8Array => new Uint8Array((alignment - (length % alignment)) % alignment)

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}
