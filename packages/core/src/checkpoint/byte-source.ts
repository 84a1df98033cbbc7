import type { StoredRows } from '../model/index.ts'

/** Where bytes come from. Parsers see only this; files, HTTP ranges and buffers are handed in at the edge. */
export interface ByteSource {
  /** Names the source in error messages: a path or a URL. */
  readonly name: string
  /** Length in bytes, known before any read. */
  readonly size: number
  /** Absolute path of the file behind this source, where there is one: an engine can then map it instead of reading it. */
  readonly path?: string
  /** Absolute paths of the files that the bytes are made of while they are read: they lie nowhere, and cannot be mapped. */
  readonly madeFrom?: readonly string[]
  /** What a tensor is made of, where that is the same numbers. */
  readonly rows?: StoredRows | undefined
  /** What a tensor is made of, where the numbers become others: floats that are rounded, or integers that are widened. */
  readonly changedRows?: StoredRows | undefined
  /** Exactly `length` bytes from `offset`. Rejects when the range does not lie inside the source. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** A source over bytes already in memory. */
export function bytesSource(bytes: Uint8Array, name = 'buffer'): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.byteLength)) {
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${bytes.byteLength} there are`)
      }
      return bytes.subarray(offset, offset + length)
    },
  }
}
