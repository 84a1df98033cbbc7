/**
 * Which spellings in a text count as special tokens.
 *
 * The library below us would recognise them everywhere. So it is given the special tokens under aliases that no text can
 * contain (they begin with a lone surrogate, and texts are made well-formed first), and only what we recognise as a
 * special token is spelled by its alias.
 */
import type { AddedToken } from './tokenizer-json.ts'

export interface SpecialTokens {
  /** The tokens under their aliases, for the library. */
  readonly aliased: readonly AddedToken[]
  isAlias(token: string): boolean
  /** Spells every special token in `text` by its alias. With `breaker`, not those that are interrupted or followed by it. */
  mark(text: string, breaker?: string): string
}

/** Half a character: cannot occur in well-formed text. */
const loneSurrogate = '\uDC00'
const aliasOf = (content: string): string => `${loneSurrogate}${content}${loneSurrogate}`

export function specialTokens(tokens: readonly AddedToken[]): SpecialTokens {
  const spelling = anySpelling(tokens.map((token) => token.content))
  return {
    aliased: tokens.map((token) => ({ ...token, content: aliasOf(token.content), normalized: false })),
    isAlias: (token) => token.startsWith(loneSurrogate),
    mark(text, breaker) {
      if (tokens.length === 0) return text
      const pattern = breaker ? `(?:${spelling})(?!${breaker})` : spelling
      return text.replace(new RegExp(pattern, 'g'), aliasOf)
    },
  }
}

/** Source of a regular expression for any of the texts, the longest first, as the reference's matcher prefers. */
export function anySpelling(texts: readonly string[]): string {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')
}
