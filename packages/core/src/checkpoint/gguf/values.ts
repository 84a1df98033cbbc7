/** Reads metadata values. The types and their numbers are those of ggml/docs/gguf.md, `gguf_metadata_value_type`. */
import { checkpointError, unsupportedError } from '../../errors.ts'
import type { GgufCursor } from './cursor.ts'
import type { GgufArray, GgufValue } from './value.ts'

/** Fixed-size types: how one value and how a whole array is read. */
const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { bytes: 1, one: (view) => view.getUint8(0), many: (buffer) => new Uint8Array(buffer) },
  1: { bytes: 1, one: (view) => view.getInt8(0), many: (buffer) => new Int8Array(buffer) },
  2: { bytes: 2, one: (view) => view.getUint16(0, true), many: (buffer) => new Uint16Array(buffer) },
  3: { bytes: 2, one: (view) => view.getInt16(0, true), many: (buffer) => new Int16Array(buffer) },
  4: { bytes: 4, one: (view) => view.getUint32(0, true), many: (buffer) => new Uint32Array(buffer) },
  5: { bytes: 4, one: (view) => view.getInt32(0, true), many: (buffer) => new Int32Array(buffer) },
  6: { bytes: 4, one: (view) => view.getFloat32(0, true), many: (buffer) => new Float32Array(buffer) },
  10: { bytes: 8, one: (view) => view.getBigUint64(0, true), many: (buffer) => new BigUint64Array(buffer) },
  11: { bytes: 8, one: (view) => view.getBigInt64(0, true), many: (buffer) => new BigInt64Array(buffer) },
  12: { bytes: 8, one: (view) => view.getFloat64(0, true), many: (buffer) => new Float64Array(buffer) },
}
const boolType = 7
const stringType = 8
const arrayType = 9

interface NumberType {
  readonly bytes: number
  one(view: DataView): number | bigint
  many(buffer: ArrayBuffer): GgufArray
}

/** Arrays may hold arrays. No writer is known to nest at all; a limit keeps a hostile file from deep recursion. */
const maxNesting = 4

/** @throws checkpoint error when the value does not fit into the file; unsupported error for an unknown type */
export async function readGgufValue(cursor: GgufCursor, file: string, key: string): Promise<GgufValue> {
  const what = `metadata ${key}`
  const type = await cursor.u32(`type of ${what}`)
  if (type === stringType) return await cursor.text(what)
  if (type === boolType) return await readBool(cursor, file, what)
  if (type === arrayType) return await readArray(cursor, file, what, 1)
  const number = numberType(type, file, what)
  const bytes = await cursor.take(number.bytes, what)
  return number.one(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

async function readArray(cursor: GgufCursor, file: string, what: string, depth: number): Promise<GgufArray> {
  if (depth > maxNesting) {
    throw checkpointError(`${file}: ${what}: arrays are nested more than ${maxNesting} deep`, { file })
  }
  const type = await cursor.u32(`element type of ${what}`)
  const each = `an element of ${what}`
  const length = `length of ${what}`
  if (type === stringType) return await cursor.texts(await cursor.count(8, length), each)
  if (type === boolType) return await readMany(await cursor.count(1, length), () => readBool(cursor, file, each))
  if (type === arrayType) return await readMany(await cursor.count(12, length), () => readArray(cursor, file, each, depth + 1))
  const number = numberType(type, file, what)
  const bytes = await cursor.take((await cursor.count(number.bytes, length)) * number.bytes, what)
  // The copy is aligned, and does not keep the window alive.
  return number.many(bytes.slice().buffer as ArrayBuffer)
}

async function readMany<T>(count: number, read: () => Promise<T>): Promise<T[]> {
  const values: T[] = []
  for (let i = 0; i < count; i++) values.push(await read())
  return values
}

async function readBool(cursor: GgufCursor, file: string, what: string): Promise<boolean> {
  const byte = await cursor.u8(what)
  if (byte > 1) throw checkpointError(`${file}: ${what} should be a boolean, 0 or 1, got ${byte}`, { file, found: byte })
  return byte === 1
}

function numberType(type: number, file: string, what: string): NumberType {
  const found = numberTypes[type]
  if (!found) throw unsupportedError(`${file}: ${what} has type ${type}; GGUF defines types 0 to 12`, { file, found: type })
  return found
}
