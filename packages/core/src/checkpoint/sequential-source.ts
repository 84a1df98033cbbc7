/**
 * Byte sources over bytes that are made in order, such as blocks that are decoded or floats that are rounded. Reading forwards
 * makes them once; a read further back begins anew. So a model can be read without being written out first.
 */
import type { ByteSource } from './byte-source.ts'

/** Parts of one thing that are made together, as a matrix's integers and scales: their sizes in bytes. */
export type PartSizes<Part extends string> = Readonly<Record<Part, number>>

/**
 * One source for each part. A part is kept from when it is made until it is read, so read them side by side.
 *
 * @param madeFrom absolute paths of the files that the bytes are made of
 * @param pieces makes all parts from their beginning; a piece may lack a part
 */
export function sequentialSources<Part extends string>(
  name: string,
  madeFrom: readonly string[],
  sizes: PartSizes<Part>,
  pieces: () => AsyncIterable<Readonly<Partial<Record<Part, Uint8Array | undefined>>>>,
): Record<Part, ByteSource> {
  const parts = Object.keys(sizes) as Part[]
  const windows = new Map(parts.map((part) => [part, new Window()]))
  let making: AsyncIterator<Readonly<Partial<Record<Part, Uint8Array | undefined>>>> | undefined
  let turn: Promise<unknown> = Promise.resolve()

  async function read(part: Part, offset: number, length: number): Promise<Uint8Array> {
    const window = windows.get(part)!
    if (!making || offset < window.start) {
      await making?.return?.()
      for (const each of windows.values()) each.reset()
      making = pieces()[Symbol.asyncIterator]()
    }
    while (window.end < offset + length) {
      const { done, value } = await making.next()
      if (done) throw new RangeError(`${name}: ended at byte ${window.end} of ${sizes[part]}`)
      for (const each of parts) if (value[each]) windows.get(each)!.push(value[each])
      // What stands at its last piece would hold on to what that was made of, for each tensor of a model.
      if (parts.every((each) => windows.get(each)!.end === sizes[each])) await making.return?.()
    }
    const bytes = window.take(offset, length)
    if (offset + length === sizes[part]) window.forget()
    return bytes
  }

  const source = (part: Part): ByteSource => ({
    name,
    size: sizes[part],
    madeFrom,
    read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= sizes[part]))
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${sizes[part]} there are`)
      // One at a time: all parts share what makes them.
      const result = turn.then(() => read(part, offset, length))
      turn = result.catch(() => {
        making = undefined
      })
      return result
    },
  })
  return Object.fromEntries(parts.map((part) => [part, source(part)])) as Record<Part, ByteSource>
}

/** Bytes that were made and may still be read. */
class Window {
  #pieces: Uint8Array[] = []
  start = 0
  end = 0

  reset(): void {
    this.#pieces = []
    this.start = 0
    this.end = 0
  }

  /** What is there was read. */
  forget(): void {
    this.#pieces = []
    this.start = this.end
  }

  push(piece: Uint8Array): void {
    this.#pieces.push(piece)
    this.end += piece.byteLength
  }

  /** The array is the caller's own. Pieces that lie before it are forgotten. */
  take(offset: number, length: number): Uint8Array {
    while (this.#pieces.length > 0 && this.start + this.#pieces[0]!.byteLength <= offset)
      this.start += this.#pieces.shift()!.byteLength
    const bytes = new Uint8Array(length)
    let at = this.start
    for (const piece of this.#pieces) {
      if (at >= offset + length) break
      const from = Math.max(offset, at)
      bytes.set(piece.subarray(from - at, Math.min(piece.byteLength, offset + length - at)), from - offset)
      at += piece.byteLength
    }
    return bytes
  }
}
