/**
 * Keeps special tokens out of what people write in a chat. A template renders contents and its own special tokens into one
 * string, and may trim or cut contents on the way. So every special token that a content spells is broken by a mark before
 * rendering; after it, special tokens are recognised where they are whole, and then the marks are taken out again. Contents
 * that spell no special token are not touched, so their ids are the reference's.
 */
import { usageError } from '../../errors.ts'
import { anySpelling } from '../special-tokens.ts'

/** Nobody writes these characters: Unicode keeps them for a program's own use. */
const noncharacters = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i))

/**
 * A mark that occurs in none of the strings in `value`. It is one character, so that no template can put it together by
 * placing strings side by side.
 *
 * @throws usage error when the strings hold all 32 of them
 */
export function chooseBreaker(value: unknown): string {
  const free = new Set(noncharacters)
  mapStrings(value, (text) => {
    for (const [found] of text.matchAll(/[\uFDD0-\uFDEF]/g)) free.delete(found)
    return text
  })
  const [breaker] = free
  if (breaker === undefined)
    throw usageError('the messages hold every character from U+FDD0 to U+FDEF; one must be left to mark special tokens')
  return breaker
}

/**
 * A copy of `value` in which no string spells a special token, whatever the case of its letters (a template may change
 * that), nor ends with the beginning of one that what follows could complete.
 */
export function breakSpecials<T>(value: T, specialTokens: readonly string[], breaker: string): T {
  if (specialTokens.length === 0) return value
  const spelling = new RegExp(anySpelling(specialTokens.map(lowerAscii)), 'g')
  const beginnings = new Set(specialTokens.flatMap((token) => properPrefixes(lowerAscii(token))))
  const longestBeginning = Math.max(...[...beginnings].map((beginning) => beginning.length), 0)
  const endsInsideOne = (text: string): boolean => {
    const end = lowerAscii(text.slice(-longestBeginning))
    for (let start = 0; start < end.length; start++) if (beginnings.has(end.slice(start))) return true
    return false
  }
  return mapStrings(value, (text) => {
    const broken = breakAt(text, startsOf(spelling, lowerAscii(text)), breaker)
    return endsInsideOne(text) ? broken + breaker : broken
  }) as T
}

/** Folds ASCII only: it keeps every character in its place, and special tokens have no other letters with two cases. */
const lowerAscii = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/** Where matches start, those inside other matches too. */
function startsOf(pattern: RegExp, text: string): number[] {
  const starts: number[] = []
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    starts.push(match.index)
    pattern.lastIndex = match.index + 1
  }
  return starts
}

/** Puts the breaker after the first character of each place. */
function breakAt(text: string, starts: readonly number[], breaker: string): string {
  let done = 0
  const parts = starts.map((start) => {
    const part = text.slice(done, start + 1)
    done = start + 1
    return part + breaker
  })
  return parts.join('') + text.slice(done)
}

const properPrefixes = (token: string): string[] => Array.from({ length: token.length - 1 }, (_, i) => token.slice(0, i + 1))

/** Maps every string in a JSON-like value, keys included. */
function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value)
  if (Array.isArray(value)) return value.map((each) => mapStrings(each, map))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [map(key), mapStrings(each, map)]))
}
