/** Numbers in bits, one at a time: nothing here is as large as a count says. */

/** Bytes that are read from front to back. */
export interface Cursor {
  readonly bytes: Uint8Array
  at: number
}

export function nextByte(cursor: Cursor): number {
  if (cursor.at >= cursor.bytes.length) throw new Error('a page ends early')
  return cursor.bytes[cursor.at++]!
}

/** The next bytes themselves, not a copy. */
export function nextBytes(cursor: Cursor, length: number): Uint8Array {
  if (length < 0 || length > cursor.bytes.length - cursor.at)
    throw new Error(`a value of ${length} bytes lies in ${cursor.bytes.length - cursor.at}`)
  cursor.at += length
  return cursor.bytes.subarray(cursor.at - length, cursor.at)
}

export function nextUint32(cursor: Cursor): number {
  const { bytes, at } = cursor
  if (at > bytes.length - 4) throw new Error('a page ends early')
  cursor.at = at + 4
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

export function nextVarint(cursor: Cursor): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = nextByte(cursor)
    value += (byte & 127) * scale
    if (byte < 128) return value
    if (scale > 2 ** 28) throw new Error('an integer has too many bytes')
  }
}

/** Numbers of `width` bits each (at most 32), the lowest bit of a byte first. */
export function packedBits(cursor: Cursor, width: number): () => number {
  const next = bitReader(cursor)
  return () => next(width)
}

/** Numbers of up to 32 bits each, one behind the other, the lowest bit of a byte first. */
export function bitReader(cursor: Cursor): (width: number) => number {
  let bit = 0
  return (width) => {
    let value = 0
    for (let got = 0; got < width; ) {
      if (cursor.at >= cursor.bytes.length) throw new Error('a page ends early')
      const taken = Math.min(8 - bit, width - got)
      value += ((cursor.bytes[cursor.at]! >>> bit) & ((1 << taken) - 1)) * 2 ** got
      got += taken
      bit += taken
      if (bit === 8) {
        bit = 0
        cursor.at++
      }
    }
    return value
  }
}

/** Runs of one number and groups of eight packed ones (Encodings.md, RLE). */
export function hybridRuns(cursor: Cursor, width: number): () => number {
  if (width > 32) throw new Error(`levels or indices have ${width} bits`)
  if (width === 0) return () => 0
  let left = 0
  let same: number | undefined
  let packed = packedBits(cursor, width)
  let groupEnd = cursor.at
  return () => {
    while (left === 0) {
      if (same === undefined) cursor.at = Math.max(cursor.at, groupEnd)
      const head = nextVarint(cursor)
      left = head % 2 ? ((head - 1) / 2) * 8 : head / 2
      if (head % 2) {
        same = undefined
        packed = packedBits(cursor, width)
        groupEnd = cursor.at + (left / 8) * width
      } else {
        same = 0
        for (let i = 0; i < width; i += 8) same += nextByte(cursor) * 2 ** i
      }
    }
    left--
    return same ?? packed()
  }
}
