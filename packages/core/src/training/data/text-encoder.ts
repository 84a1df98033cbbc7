/**
 * Encodes long texts quickly. Byte-level tokenizers cut text into words before they merge, and always behind a run of letters
 * or of digits; so a text can be cut there, and pieces that come again need not be encoded again.
 *
 * Tokenizers that do not cut there (SentencePiece's, whose merges see the whole text) are found out by trying on the
 * beginning of what is encoded, and then encode each text as a whole.
 */
import { finish } from '../../steps.ts'
import type { Tokenizer } from '../../tokenizer/index.ts'
import { anySpelling } from '../../tokenizer/special-tokens.ts'

export interface TextEncoding {
  /** Ids as `tokenizer.encode(text)` gives them: special tokens in the text are ordinary text, BOS is added where usual. */
  encode(text: string): Uint32Array
  /** The same in steps (steps.ts), where the text can be cut. */
  encoding(text: string): Generator<void, Uint32Array>
}

/** Marks belong to the letter or digit before them. */
const border = '(?<=\\p{L})(?=[^\\p{L}\\p{M}])|(?<=\\p{N})(?=[^\\p{N}\\p{M}])'
const atBorder = new RegExp(border, 'u')

/** Characters of text on which cutting is tried out. */
const trialCharacters = 2 ** 16
/** Size of the cache of pieces. When it is full it is emptied; frequent pieces are soon back. */
const maxPieces = 2 ** 17
/** Some milliseconds' worth. Cuts a longer text roughly at first, so that no huge list of pieces is held. */
const blockCharacters = 2 ** 16

export function textEncoding(tokenizer: Tokenizer): TextEncoding {
  const { before, after } = surroundings(tokenizer)
  const indivisible = tokensAcrossBorders(tokenizer)
  const plain = (text: string) => tokenizer.encode(text, { addSpecial: false })
  let pieces = new Map<string, readonly number[]>()
  let triedCharacters = 0
  let canCut = true

  function encodePiece(piece: string): readonly number[] {
    let ids = pieces.get(piece)
    if (!ids) {
      if (pieces.size >= maxPieces) pieces = new Map()
      ids = plain(piece)
      pieces.set(piece, ids)
    }
    return ids
  }

  function tryCutting(text: string): void {
    const sample = text.slice(0, trialCharacters).replace(/\p{Cs}$/u, '') // no half of a character
    triedCharacters += sample.length
    const whole = plain(sample)
    const cut = sample.split(atBorder).flatMap(plain)
    canCut = cut.length === whole.length && cut.every((id, i) => id === whole[i])
  }

  function* encoding(text: string): Generator<void, Uint32Array> {
    const isDivisible = !(indivisible && (yield* holds(text, indivisible)))
    if (canCut && isDivisible && triedCharacters < trialCharacters) tryCutting(text)
    const ids = idBuffer(before)
    if (canCut && isDivisible) {
      for (const block of blocks(text)) {
        yield
        for (const piece of block.split(atBorder)) ids.push(encodePiece(piece))
      }
    } else ids.push(plain(text))
    ids.push(after)
    return ids.take()
  }
  return { encoding, encode: (text) => finish(encoding(text)) }
}

/**
 * Matches tokens that cutting would take apart: those that the tokenizer finds before it cuts words, such as `<think>`.
 * Undefined where there are none.
 */
function tokensAcrossBorders(tokenizer: Tokenizer): { readonly pattern: RegExp; readonly longest: number } | undefined {
  const texts = Array.from({ length: tokenizer.vocabSize }, (_, id) => (tokenizer.isSpecial(id) ? '' : tokenizer.tokenText(id)))
  const across = texts.filter((text) => atBorder.test(text) && !/<0x[0-9A-F]{2}>/.test(text)) // no bytes of a character
  const longest = across.reduce((most, { length }) => Math.max(most, length), 0)
  return longest > 0 ? { pattern: new RegExp(anySpelling(across), 'u'), longest } : undefined
}

/** Whether a text holds one of the tokens; looks at parts that overlap by as much as one may be cut by. */
function* holds(text: string, { pattern, longest }: { pattern: RegExp; longest: number }): Generator<void, boolean> {
  for (let start = 0; start < text.length; start += blockCharacters) {
    if (pattern.test(text.slice(start, start + blockCharacters + longest))) return true
    yield
  }
  return false
}

/** Parts of about a million characters, cut where pieces are. */
function* blocks(text: string): Generator<string> {
  let start = 0
  const cut = new RegExp(border, 'gu')
  while (text.length - start > blockCharacters) {
    cut.lastIndex = start + blockCharacters
    const at = cut.exec(text)?.index
    if (at === undefined) break
    yield text.slice(start, at)
    start = at
  }
  yield text.slice(start)
}

/** What the tokenizer puts around a text. */
function surroundings(tokenizer: Tokenizer): { readonly before: readonly number[]; readonly after: readonly number[] } {
  const inner = tokenizer.encode('a', { addSpecial: false })
  const outer = tokenizer.encode('a')
  const added = outer.length - inner.length
  const start = Array.from({ length: added + 1 }, (_, i) => i).find((i) => inner.every((id, j) => outer[i + j] === id)) ?? 0
  return { before: outer.slice(0, start), after: outer.slice(start + inner.length) }
}

function idBuffer(first: readonly number[]) {
  let ids = new Uint32Array(1024)
  let length = 0
  const buffer = {
    push(more: readonly number[]): void {
      if (length + more.length > ids.length) {
        const grown = new Uint32Array(Math.max(2 * ids.length, length + more.length))
        grown.set(ids.subarray(0, length))
        ids = grown
      }
      ids.set(more, length)
      length += more.length
    },
    take: (): Uint32Array => ids.slice(0, length),
  }
  buffer.push(first)
  return buffer
}
