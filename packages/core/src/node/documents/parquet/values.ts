/** Values of a page, one at a time, in every encoding that writers use (github.com/apache/parquet-format, Encodings.md). */
import { Buffer, isUtf8 } from 'node:buffer'
import { type Cursor, hybridRuns, nextByte, nextBytes, nextUint32, packedBits } from './bits.ts'
import { readDeltas } from './deltas.ts'
import type { Leaf } from './schema.ts'

/** In place of what cannot be read: its row is rejected, those behind it can be read. */
export class BadValue {
  readonly reason: 'notUtf8' | 'badJson' | 'tooLong'
  readonly cause: unknown

  constructor(reason: BadValue['reason'], cause?: unknown) {
    this.reason = reason
    this.cause = cause
  }
}

export type Values = () => unknown

export interface Dictionary {
  value(index: number): unknown
}

/** Values that are kept as what they mean: rows that share one get the same text. */
const mostKept = 1 << 16

/**
 * Of the page itself and where its values begin: objects for all of them would take many times as much.
 *
 * @throws Error for more values than there are bytes
 */
export function readDictionary(page: Uint8Array, count: number, leaf: Leaf): Dictionary {
  const least = leaf.type === 'BOOLEAN' ? 1 / 8 : bytesOf(leaf)
  if (count > page.length / least) throw new Error(`a dictionary counts ${count} values in ${page.length} bytes`)
  const starts = leaf.type === 'BYTE_ARRAY' ? textStarts(page, count) : undefined
  const kept = new Map<number, unknown>()
  return {
    value(index) {
      if (!(index < count)) throw new Error(`a value is number ${index} of a dictionary of ${count}`)
      if (kept.has(index)) return kept.get(index)
      const at = starts?.[index] ?? index * bytesOf(leaf)
      const raw = leaf.type === 'BOOLEAN' ? ((page[index >> 3]! >> (index & 7)) & 1) === 1 : plain({ bytes: page, at }, leaf)()
      const value = meaningOf(raw, leaf)
      if (kept.size === mostKept) kept.clear()
      kept.set(index, value)
      return value
    },
  }
}

function textStarts(page: Uint8Array, count: number): Uint32Array {
  const starts = new Uint32Array(count)
  const cursor = { bytes: page, at: 0 }
  for (let i = 0; i < count; i++) {
    starts[i] = cursor.at
    const length = nextUint32(cursor)
    if (length > page.length - cursor.at) throw new Error(`a value of ${length} bytes lies in ${page.length - cursor.at}`)
    cursor.at += length
  }
  return starts
}

/** By their numbers in page headers. */
const encodings = { plain: 0, plainDictionary: 2, rle: 3, deltas: 5, deltaLengths: 6, deltaBytes: 7, dictionary: 8, split: 9 }

/** @param page what lies behind the levels */
export function readValues(page: Uint8Array, encoding: number, leaf: Leaf, dictionary: Dictionary | undefined): Values {
  const cursor: Cursor = { bytes: page, at: 0 }
  if (encoding === encodings.plainDictionary || encoding === encodings.dictionary) {
    if (page.length === 0) return none
    const index = hybridRuns(cursor, nextByte(cursor))
    return () => {
      if (!dictionary) throw new Error('a page needs a dictionary, there is none')
      return dictionary.value(index())
    }
  }
  const raw = rawValues(cursor, encoding, leaf)
  return () => meaningOf(raw(), leaf)
}

const none: Values = () => {
  throw new Error('a page ends early')
}

function rawValues(cursor: Cursor, encoding: number, leaf: Leaf): Values {
  if (cursor.bytes.length === 0) return none
  switch (encoding) {
    case encodings.plain:
      return plain(cursor, leaf)
    case encodings.rle: {
      if (leaf.type !== 'BOOLEAN') break
      const bit = hybridRuns({ bytes: nextBytes(cursor, nextUint32(cursor)), at: 0 }, 1)
      return () => bit() === 1
    }
    case encodings.deltas: {
      if (leaf.type !== 'INT32' && leaf.type !== 'INT64') break
      return readDeltas(cursor, leaf.type === 'INT32' ? 32 : 64).next
    }
    case encodings.deltaLengths: {
      const { next, end } = readDeltas(cursor, 32)
      const data = { bytes: cursor.bytes, at: end }
      return () => nextBytes(data, Number(next()))
    }
    case encodings.deltaBytes:
      return deltaBytes(cursor)
    case encodings.split:
      return splitBytes(cursor, leaf)
  }
  throw new Error(`values of type ${leaf.type} are encoded in a way that is not read (${encoding}); write them as PLAIN`)
}

/** Each value as how much of the one before it begins with, and what follows. */
function deltaBytes(cursor: Cursor): Values {
  const prefixes = readDeltas(cursor, 32)
  const rest = { bytes: cursor.bytes, at: prefixes.end }
  const lengths = readDeltas(rest, 32)
  const data = { bytes: cursor.bytes, at: lengths.end }
  let before: Uint8Array = new Uint8Array(0)
  return () => {
    const kept = Number(prefixes.next())
    const added = nextBytes(data, Number(lengths.next()))
    if (!(kept >= 0 && kept <= before.length)) throw new Error(`a value begins with ${kept} bytes of one of ${before.length}`)
    const value = new Uint8Array(kept + added.length)
    value.set(before.subarray(0, kept))
    value.set(added, kept)
    before = value
    return value
  }
}

/** All first bytes, then all second ones. */
function splitBytes({ bytes }: Cursor, leaf: Leaf): Values {
  if (leaf.type === 'BYTE_ARRAY' || leaf.type === 'BOOLEAN') throw new Error(`values of type ${leaf.type} are split into bytes`)
  const width = bytesOf(leaf)
  const count = Math.floor(bytes.length / width)
  let i = 0
  return () => {
    if (i >= count) throw new Error('a page ends early')
    const value = Uint8Array.from({ length: width }, (_, b) => bytes[b * count + i]!)
    i++
    return plain({ bytes: value, at: 0 }, leaf)()
  }
}

/** Bytes of a value; of texts, those of its length. */
const bytesOf = ({ type, width }: Leaf): number =>
  ({ BOOLEAN: 1, INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8, BYTE_ARRAY: 4, FIXED: width })[type]

function plain(cursor: Cursor, leaf: Leaf): Values {
  const view = () => {
    const bytes = nextBytes(cursor, bytesOf(leaf))
    return new DataView(bytes.buffer, bytes.byteOffset)
  }
  switch (leaf.type) {
    case 'BOOLEAN': {
      const bit = packedBits(cursor, 1)
      return () => bit() === 1
    }
    case 'INT32':
      return () => view().getInt32(0, true)
    case 'INT64':
      return () => view().getBigInt64(0, true)
    case 'FLOAT':
      return () => view().getFloat32(0, true)
    case 'DOUBLE':
      return () => view().getFloat64(0, true)
    case 'BYTE_ARRAY':
      return () => nextBytes(cursor, nextUint32(cursor))
    default:
      return () => nextBytes(cursor, bytesOf(leaf))
  }
}

/** What comes of a text of brackets takes many times its bytes, and pages are compressed. */
const mostJsonBytes = 1 << 24

function meaningOf(value: unknown, leaf: Leaf): unknown {
  if (typeof value === 'bigint') {
    const found = leaf.meaning === 'unsigned' ? BigInt.asUintN(leaf.type === 'INT32' ? 32 : 64, value) : value
    return Number.isSafeInteger(Number(found)) ? Number(found) : found
  }
  if (typeof value === 'number') return leaf.meaning === 'unsigned' && leaf.type === 'INT32' ? value >>> 0 : value
  if (!(value instanceof Uint8Array) || leaf.type !== 'BYTE_ARRAY') return value
  if (leaf.meaning === 'raw') return value
  if (leaf.meaning === 'json' && value.length > mostJsonBytes) return new BadValue('tooLong')
  if (!isUtf8(value)) return new BadValue('notUtf8')
  // A mark at its beginning is part of a value, unlike that of a file.
  const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString()
  if (leaf.meaning === 'text') return text
  try {
    return JSON.parse(text)
  } catch (cause) {
    return new BadValue('badJson', cause)
  }
}
