/**
 * Encodes long texts quickly. Byte-level tokenizers cut text into words before they merge, and always behind a run of letters
 * or of digits; so a text can be cut there, and pieces that come again need not be encoded again.
 *
 * Tokenizers that do not cut there (SentencePiece's, whose merges see the whole text) are found out by trying on the
 * beginning of what is encoded, and then encode each text as a whole.
 */
import { finish, finishWithPauses } from '../../steps.ts'
import { addedTokenFinder } from '../../tokenizer/added-tokens.ts'
import type { Tokenizer } from '../../tokenizer/index.ts'

export interface TextEncoding {
  /** Ids as `tokenizer.encode(text)` gives them: special tokens in the text are ordinary text, BOS is added where usual. */
  encode(text: string): Uint32Array
  /** The same, but lets the event loop run now and then. @throws the signal's reason */
  encodeLong(text: string, signal?: AbortSignal): Promise<Uint32Array>
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
  const holdsIndivisible = tokensAcrossBorders(tokenizer)
  const plain = (text: string) => tokenizer.encode(text, { addSpecial: false })
  let pieces = new Map<string, readonly number[]>()
  let triedCharacters = 0
  let canCut = tokenizer.addedTokensStandAlone

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

  function* cuts(text: string): Generator<void, boolean> {
    if (!canCut || (yield* holdsIndivisible(text))) return false
    if (triedCharacters < trialCharacters) tryCutting(text)
    return canCut
  }

  return {
    encode(text) {
      const ids = idBuffer(before)
      if (finish(cuts(text))) {
        for (const block of blocks(text)) for (const piece of block.split(atBorder)) ids.push(encodePiece(piece))
      } else ids.push(plain(text))
      ids.push(after)
      return ids.take()
    },
    async encodeLong(text, signal) {
      const ids = idBuffer(before)
      if (await finishWithPauses(cuts(text), { signal })) {
        const encoding = function* () {
          for (const block of blocks(text)) {
            for (const piece of block.split(atBorder)) ids.push(encodePiece(piece))
            yield
          }
        }
        await finishWithPauses(encoding(), { signal })
      } else ids.push(await tokenizer.encodeLong(text, { addSpecial: false, signal }))
      ids.push(after)
      return ids.take()
    },
  }
}

/**
 * Finds tokens that cutting would take apart: those that the tokenizer finds before it cuts words, such as `<think>`.
 */
function tokensAcrossBorders(tokenizer: Tokenizer): (text: string) => Generator<void, boolean> {
  const across = new Set<string>()
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const text = tokenizer.isSpecial(id) ? '' : tokenizer.tokenText(id)
    if (atBorder.test(text) && !/<0x[0-9A-F]{2}>/.test(text)) across.add(text) // no bytes of a character
  }
  const finder = addedTokenFinder(
    Array.from(across, (content) => [content, { id: 0, content, special: false }]),
    'tokenizer',
  )
  let longest = 0
  for (const text of across) longest = Math.max(longest, text.length)
  return function* (text) {
    // Blocks overlap by as much as a token may be cut by.
    for (let start = 0; start < text.length; start += blockCharacters) {
      for (const part of finder.split(text.slice(start, start + blockCharacters + longest), () => true))
        if (part.token) return true
      yield
    }
    return false
  }
}

/** Parts of about as many characters as a block has, cut where pieces are. */
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
