/**
 * Writes GGUF version 3, for tests and benches: readers need files whose every byte is known, and benches need models of
 * a given shape. Nothing that ships writes GGUF.
 */
import { elementCount } from '../../model/parameters.ts'
import { blockFormats, type GgmlType } from '../gguf/blocks.ts'
import type { ByteSink } from '../safetensors-writer.ts'
import { f32, f64, ggufText, i32, i64, join, u8, u32, u64, utf8 } from './bytes.ts'

/** Number of a value type in files, and how a value becomes bytes. */
const valueTypes = {
  uint8: { id: 0, encode: (value: number) => u8(value) },
  uint32: { id: 4, encode: (value: number) => u32(value) },
  int32: { id: 5, encode: (value: number) => i32(value) },
  float32: { id: 6, encode: (value: number) => f32(value) },
  bool: { id: 7, encode: (value: boolean) => u8(Number(value)) },
  string: { id: 8, encode: (value: string) => ggufText(value) },
  uint64: { id: 10, encode: (value: bigint) => u64(value) },
  int64: { id: 11, encode: (value: bigint) => i64(value) },
  float64: { id: 12, encode: (value: number) => f64(value) },
} as const

/** A metadata value, already in bytes. */
export interface GgufEntry {
  readonly bytes: Uint8Array
}

type ValueType = keyof typeof valueTypes
type ValueOf<T extends ValueType> = Parameters<(typeof valueTypes)[T]['encode']>[0]

const encode = <T extends ValueType>(type: T, value: ValueOf<T>): Uint8Array =>
  (valueTypes[type].encode as (value: ValueOf<T>) => Uint8Array)(value)

/** One value, typed as the specification calls it: entry('uint32', 7). */
export const entry = <T extends ValueType>(type: T, value: ValueOf<T>): GgufEntry => ({
  bytes: join(u32(valueTypes[type].id), encode(type, value)),
})

/** An array of values: arrayEntry('string', ['a', 'b']). */
export const arrayEntry = <T extends ValueType>(type: T, values: readonly ValueOf<T>[]): GgufEntry => ({
  bytes: join(u32(9), u32(valueTypes[type].id), u64(values.length), ...values.map((value) => encode(type, value))),
})

export interface GgufTensorToWrite {
  readonly name: string
  readonly type: GgmlType
  /** Row-major, slowest axis first. */
  readonly shape: readonly number[]
  /** The blocks, in pieces. */
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

const alignment = 32

/** Streams a whole file: header, then each tensor's data, padded to 32 bytes. */
export async function writeGguf(
  sink: ByteSink,
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  const header = ggufHeader(metadata, tensors)
  await sink.write(join(header, padding(header.byteLength)))
  for (const tensor of tensors) {
    for await (const bytes of tensor.chunks()) await sink.write(bytes)
    await sink.write(padding(dataBytes(tensor)))
  }
}

function ggufHeader(metadata: Readonly<Record<string, GgufEntry>>, tensors: readonly GgufTensorToWrite[]): Uint8Array {
  const entries = Object.entries(metadata)
  const parts = [utf8('GGUF'), u32(3), u64(tensors.length), u64(entries.length)]
  for (const [key, value] of entries) parts.push(ggufText(key), value.bytes)
  let offset = 0
  for (const tensor of tensors) {
    const { name, type, shape } = tensor
    parts.push(ggufText(name), u32(shape.length), ...shape.toReversed().map(u64), u32(blockFormats[type].id), u64(offset))
    offset += dataBytes(tensor) + padding(dataBytes(tensor)).byteLength
  }
  return join(...parts)
}

const dataBytes = ({ type, shape }: GgufTensorToWrite): number =>
  (elementCount(shape) / blockFormats[type].elements) * blockFormats[type].bytes

const padding = (length: number): Uint8Array => new Uint8Array((alignment - (length % alignment)) % alignment)
