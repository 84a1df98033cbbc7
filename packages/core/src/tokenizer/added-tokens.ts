/**
 * Tokens that are found in a text before it is cut and merged, as huggingface/tokenizers finds them
 * (tokenizers/src/tokenizer/added_vocabulary.rs): of those that begin leftmost the longest.
 */
import { checkpointError } from '../errors.ts'
import { isUnknownToPatterns } from './newer-characters.ts'
import { endOfSpaces, endWithoutSpaces } from './normalizer.ts'
import { unitsBefore } from './pattern/match-pattern.ts'
import type { AddedToken } from './tokenizer-json.ts'

/** A part of a text; `token` is undefined for what no added token took. */
export interface Part {
  readonly start: number
  readonly end: number
  readonly token: AddedToken | undefined
}

export interface AddedTokenFinder {
  /**
   * Cuts the text around the tokens in it.
   *
   * @param counts says which tokens count; the others are ordinary text, but nothing inside them is searched
   * @param mayBegin where given, a token that this refuses is as if it were not there: a shorter one may be found
   */
  split(
    text: string,
    counts: (token: AddedToken) => boolean,
    mayBegin?: (token: AddedToken, start: number, end: number) => boolean,
  ): Iterable<Part>
}

/**
 * @param spellings what is searched for, and the token that it stands for
 * @throws checkpoint error for two tokens with one spelling, or an empty one
 */
export function addedTokenFinder(
  spellings: readonly (readonly [spelling: string, token: AddedToken])[],
  file: string,
): AddedTokenFinder {
  const sorted = [...spellings].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const texts = sorted.map(([spelling]) => spelling)
  sorted.forEach(([spelling, token], i) => {
    if (spelling !== '' && spelling !== texts[i - 1]) return
    const reason = spelling === '' ? 'is nothing once it is normalized' : 'is there twice once it is normalized'
    throw checkpointError(`${file}: added token ${JSON.stringify(token.content)} ${reason}`, { file })
  })
  /** For each first unit of a spelling, where the spellings with it lie in the list. */
  const firsts = new Map<number, { low: number; high: number }>()
  texts.forEach((text, i) => {
    const range = firsts.get(text.charCodeAt(0))
    if (range) range.high = i + 1
    else firsts.set(text.charCodeAt(0), { low: i, high: i + 1 })
  })

  /** Spellings that begin at a place, the longest last: the list is narrowed unit by unit. */
  function* at(text: string, start: number): Generator<number> {
    let { low, high } = firsts.get(text.charCodeAt(start)) ?? { low: 0, high: 0 }
    for (let depth = 1; low < high; depth++) {
      if (texts[low]!.length === depth) yield low++
      const unit = text.charCodeAt(start + depth) // NaN at the end: no spelling has it
      low = lowest(low, high, (i) => texts[i]!.charCodeAt(depth) >= unit)
      high = lowest(low, high, (i) => !(texts[i]!.charCodeAt(depth) <= unit))
    }
  }

  function longestAt(text: string, start: number, mayBegin?: (token: AddedToken, start: number, end: number) => boolean) {
    let found: number | undefined
    for (const i of at(text, start)) if (!mayBegin || mayBegin(sorted[i]![1], start, start + texts[i]!.length)) found = i
    return found
  }

  return {
    *split(text, counts, mayBegin) {
      let done = 0
      let spacesEnd = 0
      for (let place = 0; sorted.length > 0 && place < text.length; place++) {
        if (!firsts.has(text.charCodeAt(place))) continue
        const found = longestAt(text, place, mayBegin)
        if (found === undefined) continue
        const token = sorted[found]![1]
        let start = place
        let end = place + texts[found]!.length
        place = end - 1
        if (!counts(token) || (token.single_word && !standsAlone(text, start, end))) continue
        if (token.lstrip) start = Math.max(done, endWithoutSpaces(text, done, start))
        if (token.rstrip) {
          // Its end is not searched again for each token of spaces that lies within.
          spacesEnd = end < spacesEnd ? spacesEnd : endOfSpaces(text, end)
          end = spacesEnd
        }
        if (start > done) yield { start: done, end: start, token: undefined }
        // Nothing is left of a token of spaces within what the one before took.
        if (start < end) yield { start, end, token }
        done = end
      }
      if (done < text.length) yield { start: done, end: text.length, token: undefined }
    },
  }
}

/** The first index from `low` on for which `holds`; it holds for all behind the first, too. */
function lowest(low: number, high: number, holds: (index: number) => boolean): number {
  let [from, to] = [low, high]
  while (from < to) {
    const middle = (from + to) >> 1
    if (holds(middle)) to = middle
    else from = middle + 1
  }
  return from
}

/** Rust's `\w`, whose tables are as old as the patterns'. */
const wordCharacter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const isWordCharacter = (codePoint: number): boolean =>
  !isUnknownToPatterns(codePoint) && wordCharacter.test(String.fromCodePoint(codePoint))

function standsAlone(text: string, start: number, end: number): boolean {
  const previous = start - unitsBefore(text, start)
  return (
    !(start > 0 && isWordCharacter(text.codePointAt(previous)!)) &&
    !(end < text.length && isWordCharacter(text.codePointAt(end)!))
  )
}
