/** Ids to text one by one. Constant work per id: nothing is decoded twice. */
import type { PieceDecoder } from './piece-decoder.ts'
import type { StreamDecoder } from './types.ts'

/**
 * @param pieceOf the piece of an id; undefined for an id that adds no text
 */
export function createStreamDecoder(decoder: PieceDecoder, pieceOf: (id: number) => string | undefined): StreamDecoder {
  // Keeps the bytes of an unfinished character until the rest arrives or cannot arrive any more.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  let first = true
  let spacesToCut = decoder.leadingSpaces

  const cutSpaces = (text: string): string => {
    let start = 0
    while (spacesToCut > 0 && text[start] === ' ') {
      start++
      spacesToCut--
    }
    if (start < text.length) spacesToCut = 0
    return text.slice(start)
  }

  return {
    push(id) {
      const piece = pieceOf(id)
      if (piece === undefined) return ''
      const bytes = decoder.bytes(piece, first)
      first = false
      return cutSpaces(utf8.decode(bytes, { stream: true }))
    },
    flush() {
      const rest = cutSpaces(utf8.decode())
      first = true
      spacesToCut = decoder.leadingSpaces
      return rest
    },
  }
}

/** Bytes for display: text where they are valid UTF-8, `<0xE2>` for each byte that is not. */
export function visibleText(bytes: Uint8Array): string {
  const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
  let text = ''
  for (let start = 0; start < bytes.length; ) {
    const length = wholeCharacter(strict, bytes, start)
    text += length
      ? strict.decode(bytes.subarray(start, start + length))
      : `<0x${bytes[start]!.toString(16).toUpperCase().padStart(2, '0')}>`
    start += length || 1
  }
  return text
}

/** Length in bytes of the character at `start`, 0 if there is none. */
function wholeCharacter(strict: TextDecoder, bytes: Uint8Array, start: number): number {
  const lead = bytes[start]!
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (start + length > bytes.length) return 0
  try {
    strict.decode(bytes.subarray(start, start + length))
    return length
  } catch {
    return 0
  }
}
