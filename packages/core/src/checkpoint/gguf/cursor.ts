/**
 * Reads little-endian values one after the other from a byte source, through a small window. Every count and length
 * that a file claims is measured against the bytes that are left before anything is allocated for it.
 */
import { checkpointError } from '../../errors.ts'
import type { ByteSource } from '../byte-source.ts'

/** Bytes fetched at a time. */
const windowBytes = 1 << 16

export interface GgufCursor {
  /** Position of the next byte in the source. */
  position(): number
  /** The next `length` bytes; good until the next call. */
  take(length: number, what: string): Promise<Uint8Array>
  u8(what: string): Promise<number>
  u32(what: string): Promise<number>
  u64(what: string): Promise<bigint>
  /** A 64-bit count of things that take at least `bytesEach`, so that so many can still be in the file. */
  count(bytesEach: number, what: string): Promise<number>
  /** A length and so many bytes of valid UTF-8. */
  text(what: string): Promise<string>
  /** So many of them. A vocabulary has hundreds of thousands, so those that have been fetched are read without waiting. */
  texts(count: number, what: string): Promise<string[]>
}

/** @throws (its methods) checkpoint error when the file ends before the value, naming the value by `what` */
export function ggufCursor(source: ByteSource): GgufCursor {
  const file = source.name
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let position = 0
  let window: Uint8Array = new Uint8Array(0)
  let windowStart = 0

  async function take(length: number, what: string): Promise<Uint8Array> {
    if (length > source.size - position) {
      throw checkpointError(
        `${file}: ${what} takes ${length} bytes at ${position}, but the file ends at ${source.size}; it is cut short or damaged`,
        { file, expected: length, found: source.size - position },
      )
    }
    if (position + length > windowStart + window.length) {
      window = await source.read(position, Math.min(Math.max(length, windowBytes), source.size - position))
      windowStart = position
    }
    const bytes = window.subarray(position - windowStart, position - windowStart + length)
    position += length
    return bytes
  }

  async function view(length: number, what: string): Promise<DataView> {
    const bytes = await take(length, what)
    return new DataView(bytes.buffer, bytes.byteOffset, length)
  }

  const u64 = async (what: string) => (await view(8, what)).getBigUint64(0, true)

  async function count(bytesEach: number, what: string): Promise<number> {
    const claimed = await u64(what)
    const most = Math.floor((source.size - position) / bytesEach)
    if (claimed > BigInt(most)) {
      throw checkpointError(
        `${file}: ${what} is ${claimed}, but the file has room for ${most} at most; it is cut short or damaged`,
        { file, expected: most, found: claimed },
      )
    }
    return Number(claimed)
  }

  async function text(what: string): Promise<string> {
    const bytes = await take(await count(1, `length of ${what}`), what)
    try {
      return decoder.decode(bytes)
    } catch (cause) {
      throw checkpointError(`${file}: ${what} is not valid UTF-8; the file is damaged`, { file, cause })
    }
  }

  /** Adds the texts that lie in the window as a whole, until there are `count`, or one needs a closer look. */
  function readFetched(texts: string[], count: number): void {
    const lengths = new DataView(window.buffer, window.byteOffset, window.byteLength)
    while (texts.length < count) {
      const at = position - windowStart + 8
      if (at > window.length || lengths.getUint32(at - 4, true) !== 0) return
      const end = at + lengths.getUint32(at - 8, true)
      if (end > window.length) return
      const found = shortText(window, at, end)
      if (found === undefined) return
      texts.push(found)
      position = windowStart + end
    }
  }

  return {
    position: () => position,
    take,
    u8: async (what) => (await view(1, what)).getUint8(0),
    u32: async (what) => (await view(4, what)).getUint32(0, true),
    u64,
    count,
    text,
    async texts(count, what) {
      const texts: string[] = []
      while (texts.length < count) {
        readFetched(texts, count)
        if (texts.length < count) texts.push(await text(what))
      }
      return texts
    },
  }
}

/** Bytes of a text that are decoded here: a decoder takes longer to be called than for its work. */
const shortBytes = 64
const units = new Uint16Array(shortBytes)

/** Short texts of characters below U+0800; undefined for others, and for what is no UTF-8. */
function shortText(bytes: Uint8Array, from: number, end: number): string | undefined {
  if (end - from > shortBytes) return undefined
  let count = 0
  for (let at = from; at < end; at++) {
    const first = bytes[at]!
    if (first < 0x80) units[count++] = first
    else {
      const second = at + 1 < end ? bytes[++at]! : 0
      // 0xc0 and 0xc1 would spell ASCII in two bytes.
      if (first < 0xc2 || first > 0xdf || (second & 0xc0) !== 0x80) return undefined
      units[count++] = ((first & 0x1f) << 6) | (second & 0x3f)
    }
  }
  return String.fromCharCode.apply(null, units.subarray(0, count) as unknown as number[])
}
