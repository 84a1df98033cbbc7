/**
 * Cuts a text into its added tokens and the normalized text between them, in the reference's two passes: tokens that are
 * found in the text as written, then those that are found in the normalized text.
 */
import { type AddedTokenFinder, addedTokenFinder } from './added-tokens.ts'
import type { Normalizer } from './normalizer.ts'
import type { AddedToken } from './tokenizer-json.ts'

/** An added token, or normalized text that is still to be cut and merged. */
export type TextPart = { readonly id: number } | { readonly id?: undefined; readonly text: string; readonly atStart: boolean }

export interface TextPartOptions {
  readonly allowSpecial: boolean
  readonly breaker: string | undefined
}

/** @throws as `addedTokenFinder` and `normalizer.normalize` */
export function textParts(tokens: readonly AddedToken[], normalizer: Normalizer, file: string) {
  const written = tokens.filter((token) => !isNormalized(token))
  const normalized = tokens.filter(isNormalized)
  const inText = addedTokenFinder(
    written.map((token) => [token.content, token]),
    file,
  )
  const inNormalized = addedTokenFinder(
    normalized.map((token) => [normalizer.normalize(token.content).text, token]),
    file,
  )
  const guarded = normalized.some((token) => token.special) ? guardedFinder(normalized, normalizer, file) : undefined

  /** @param text well-formed */
  return function* parts(text: string, { allowSpecial, breaker }: TextPartOptions): Generator<TextPart> {
    const counts = (token: AddedToken) => allowSpecial || !token.special
    const { plain, isBroken } = withoutBreakers(text, breaker)
    const mayBegin = breaker
      ? (token: AddedToken, start: number, end: number) => !token.special || !isBroken(start, end)
      : undefined
    for (const { start, end, token } of inText.split(plain, counts, mayBegin)) {
      if (token) {
        yield { id: token.id }
        continue
      }
      const piece = plain.slice(start, end)
      const guard = breaker && guarded
      const marked = guard ? guarded.mark(piece, (from, to) => isBroken(start + from, start + to)) : piece
      const { text: result, lostStart } = normalizer.normalize(marked)
      for (const part of (guard ? guarded.finder : inNormalized).split(result, counts)) {
        if (part.token) yield { id: part.token.id }
        else yield { text: result.slice(part.start, part.end), atStart: start === 0 && part.start === 0 && !lostStart }
      }
    }
  }
}

/** Where a file does not say it, as huggingface/tokenizers makes a token. */
export const isNormalized = (token: AddedToken): boolean => token.normalized ?? !token.special

function withoutBreakers(text: string, breaker: string | undefined) {
  if (!breaker) return { plain: text, isBroken: () => false }
  const pieces = text.split(breaker)
  const places: number[] = []
  let length = 0
  for (const piece of pieces) {
    length += piece.length
    places.push(length)
  }
  places.pop() // the end of the text
  /** A breaker stood inside, or right behind. */
  const isBroken = (start: number, end: number): boolean => {
    let [low, high] = [0, places.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (places[middle]! > start) high = middle
      else low = middle + 1
    }
    return low < places.length && places[low]! <= end
  }
  return { plain: pieces.join(''), isBroken }
}

/**
 * Special tokens that are found in normalized text, where some of the text is a stranger's: normalizing must not make a
 * special token of what was none. So they are found as written first and replaced by characters that no text can contain
 * (lone surrogates: texts are well-formed), and then it is these that are found in the normalized text.
 */
function guardedFinder(
  tokens: readonly AddedToken[],
  normalizer: Normalizer,
  file: string,
): { finder: AddedTokenFinder; mark(text: string, isBroken: (start: number, end: number) => boolean): string } {
  const specials = tokens.filter((token) => token.special)
  const codes = new Map(specials.map((token, i) => [token.id, String.fromCharCode(0xdc00 + (i >> 10), 0xdc00 + (i & 0x3ff))]))
  const bare = specials.map((token) => ({ ...token, single_word: false, lstrip: false, rstrip: false }))
  const asWritten = addedTokenFinder(
    bare.map((token) => [token.content, token]),
    file,
  )
  const finder = addedTokenFinder(
    tokens.map((token) => [normalizer.normalize(token.special ? codes.get(token.id)! : token.content).text, token]),
    file,
  )
  return {
    finder,
    mark(text, isBroken) {
      let marked = ''
      for (const { start, end, token } of asWritten.split(
        text,
        () => true,
        (_, from, to) => !isBroken(from, to),
      )) {
        marked += token ? codes.get(token.id)! : text.slice(start, end)
      }
      return marked
    },
  }
}
