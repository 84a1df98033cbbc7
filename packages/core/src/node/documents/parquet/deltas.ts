/** Numbers as differences in packed blocks (Encodings.md, DELTA_BINARY_PACKED), one at a time. */
import { bitReader, type Cursor, nextByte, nextBytes, nextVarint, packedBits } from './bits.ts'

export interface Deltas {
  readonly next: () => bigint
  /** Where the block's bytes end. */
  readonly end: number
}

/** @param bits of the numbers, at which they wrap around: 32 or 64 */
export function readDeltas(cursor: Cursor, bits: 32 | 64): Deltas {
  const blockSize = nextVarint(cursor)
  const miniblocks = nextVarint(cursor)
  const total = nextVarint(cursor)
  const each = blockSize / miniblocks
  if (!(miniblocks > 0 && each > 0 && each % 32 === 0)) throw new Error(`a block of ${blockSize} numbers has ${miniblocks} parts`)
  let value = nextZigzag(cursor)
  const start = cursor.at
  let left = total
  let inMiniblock = 0
  let smallest = 0n
  let widths: Uint8Array = new Uint8Array(0)
  let miniblock = 0
  let end = start
  let delta: () => bigint = () => 0n
  const openMiniblock = () => {
    cursor.at = end
    if (miniblock === widths.length) {
      smallest = nextZigzag(cursor)
      widths = nextBytes(cursor, miniblocks)
      miniblock = 0
    }
    const width = widths[miniblock++]!
    delta = bigBits({ bytes: cursor.bytes, at: cursor.at }, width)
    end = cursor.at + (each * width) / 8
    inMiniblock = each
  }
  const next = () => {
    if (left === 0) throw new Error(`a page has only ${total} numbers`)
    if (left-- === total) return value
    if (inMiniblock === 0) openMiniblock()
    inMiniblock--
    value = BigInt.asIntN(bits, value + smallest + delta())
    return value
  }
  return { next, end: endOf({ bytes: cursor.bytes, at: start }, miniblocks, each, total - 1) }
}

/** Passes over the blocks: as many steps as they have bytes. */
function endOf(cursor: Cursor, miniblocks: number, each: number, deltas: number): number {
  for (let left = deltas; left > 0; ) {
    nextZigzag(cursor)
    for (const width of nextBytes(cursor, miniblocks)) {
      if (left <= 0) break
      // The last part may lack what its unused numbers would take.
      cursor.at = Math.min(cursor.bytes.length, cursor.at + (each * width) / 8)
      left -= each
    }
  }
  return cursor.at
}

function bigBits(cursor: Cursor, width: number): () => bigint {
  if (width > 64) throw new Error(`differences have ${width} bits`)
  if (width === 0) return () => 0n
  if (width <= 32) {
    const next = packedBits(cursor, width)
    return () => BigInt(next())
  }
  const next = bitReader(cursor)
  return () => BigInt(next(32)) | (BigInt(next(width - 32)) << 32n)
}

function nextZigzag(cursor: Cursor): bigint {
  let value = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = nextByte(cursor)
    value |= BigInt(byte & 127) << shift
    if (byte < 128) return (value >> 1n) ^ -(value & 1n)
    if (shift > 63n) throw new Error('an integer has too many bytes')
  }
}
