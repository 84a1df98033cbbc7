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
  /** Where given, the spellings of special tokens that it refuses are ordinary text. */
  readonly isSpecial: ((start: number, end: number) => boolean) | undefined
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
  return function* parts(text: string, { allowSpecial, isSpecial }: TextPartOptions): Generator<TextPart> {
    const counts = (token: AddedToken) => allowSpecial || !token.special
    const mayBegin = isSpecial && ((token: AddedToken, start: number, end: number) => !token.special || isSpecial(start, end))
    for (const { start, end, token } of inText.split(text, counts, mayBegin)) {
      if (token) {
        yield { id: token.id }
        continue
      }
      const piece = text.slice(start, end)
      const guard = isSpecial && guarded
      const marked = guard ? guard.mark(piece, (from, to) => isSpecial(start + from, start + to)) : piece
      const { text: result, lostStart } = normalizer.normalize(marked)
      for (const part of (guard ? guard.finder : inNormalized).split(result, counts)) {
        if (part.token) yield { id: part.token.id }
        else yield { text: result.slice(part.start, part.end), atStart: start === 0 && part.start === 0 && !lostStart }
      }
    }
  }
}

/** Where a file does not say it, as huggingface/tokenizers makes a token. */
export const isNormalized = (token: AddedToken): boolean => token.normalized ?? !token.special

/**
 * Special tokens that are found in normalized text, where some of the text is a stranger's: normalizing must not make a
 * special token of what was none. So they are found as written first and replaced by characters that no text can contain
 * (lone surrogates: texts are well-formed), and then it is these that are found in the normalized text.
 */
function guardedFinder(
  tokens: readonly AddedToken[],
  normalizer: Normalizer,
  file: string,
): { finder: AddedTokenFinder; mark(text: string, isSpecial: (start: number, end: number) => boolean): string } {
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
    mark(text, isSpecial) {
      let marked = ''
      for (const { start, end, token } of asWritten.split(
        text,
        () => true,
        (_, from, to) => isSpecial(from, to),
      )) {
        marked += token ? codes.get(token.id)! : text.slice(start, end)
      }
      return marked
    },
  }
}
