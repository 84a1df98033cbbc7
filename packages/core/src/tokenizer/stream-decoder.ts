/** Ids to text one by one. Constant work per id: nothing is decoded twice. */
import type { PieceDecoder } from './piece-decoder.ts'
import type { StreamDecoder } from './types.ts'

const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/**
 * @param pieceOf the piece of an id; undefined for an id that adds no text
 * @param after ids that the text follows: what is streamed is the text of all ids without the text of these
 */
export function createStreamDecoder(
  decoder: PieceDecoder,
  pieceOf: (id: number) => string | undefined,
  after: readonly number[] = [],
): StreamDecoder {
  // Keeps the bytes of an unfinished character until the rest arrives or cannot arrive any more.
  let utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  let first = true
  let spacesToCut = decoder.leadingSpaces
  /** Bytes that are text only as a whole, so nothing of them is certain before they end. */
  let run: number[] = []
  /** How many of these belong to `after`, and the text that they are by themselves. */
  let before = { length: 0, text: '' }

  const cutSpaces = (text: string): string => {
    let start = 0
    while (spacesToCut > 0 && text[start] === ' ') {
      start++
      spacesToCut--
    }
    if (start < text.length) spacesToCut = 0
    return text.slice(start)
  }

  function endRun(): string {
    if (run.length === 0) return ''
    const whole = runText(run)
    const text = whole === undefined ? '\uFFFD'.repeat(run.length - before.length) : whole.slice(before.text.length)
    run = []
    before = { length: 0, text: '' }
    return text
  }

  function push(id: number): string {
    const piece = pieceOf(id)
    if (piece === undefined) return ''
    const read = decoder.read(piece, first)
    first = false
    if (typeof read === 'string') return cutSpaces(endRun() + read)
    if (!decoder.wholeRuns) return cutSpaces(utf8.decode(read, { stream: true }))
    for (const byte of read) run.push(byte)
    return ''
  }

  function start(): void {
    utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
    first = true
    spacesToCut = decoder.leadingSpaces
    for (const id of after) push(id)
    if (run.length === 0) return
    // These bytes were a text of their own; its spaces are cut from it, not from what follows.
    const text = runText(run)
    before = { length: run.length, text: text ?? '' }
    if (text !== undefined) cutSpaces(text)
  }

  start()
  return {
    push,
    flush() {
      const rest = cutSpaces(decoder.wholeRuns ? endRun() : utf8.decode())
      start()
      return rest
    },
  }
}

function runText(bytes: readonly number[]): string | undefined {
  try {
    return strict.decode(Uint8Array.from(bytes))
  } catch {
    return undefined
  }
}

/** Bytes for display: text where they are valid UTF-8, `<0xE2>` for each byte that is not. */
export function visibleText(bytes: Uint8Array): string {
  let text = ''
  for (let start = 0; start < bytes.length; ) {
    const length = wholeCharacter(bytes, start)
    text += length
      ? strict.decode(bytes.subarray(start, start + length))
      : `<0x${bytes[start]!.toString(16).toUpperCase().padStart(2, '0')}>`
    start += length || 1
  }
  return text
}

/** Length in bytes of the character at `start`, 0 if there is none. */
function wholeCharacter(bytes: Uint8Array, start: number): number {
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
