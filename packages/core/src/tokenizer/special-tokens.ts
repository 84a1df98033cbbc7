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
  /** Spells every special token in `text` by its alias; with `counts`, those alone that count where they are. */
  mark(text: string, counts?: (start: number, end: number) => boolean): string
}

/** Half a character: cannot occur in well-formed text. */
const loneSurrogate = '\uDC00'
const aliasOf = (content: string): string => `${loneSurrogate}${content}${loneSurrogate}`

export function specialTokens(tokens: readonly AddedToken[]): SpecialTokens {
  const longestFirst = tokens.map((token) => token.content).sort((a, b) => b.length - a.length)
  const spelling = anySpelling(longestFirst)
  return {
    aliased: tokens.map((token) => ({ ...token, content: aliasOf(token.content), normalized: false })),
    isAlias: (token) => token.startsWith(loneSurrogate),
    mark(text, counts) {
      if (tokens.length === 0) return text
      const anyToken = new RegExp(spelling, 'g')
      if (!counts) return text.replace(anyToken, aliasOf)
      let marked = ''
      let done = 0
      for (let match = anyToken.exec(text); match; match = anyToken.exec(text)) {
        const { index } = match
        const token = longestFirst.find((each) => text.startsWith(each, index) && counts(index, index + each.length))
        if (token !== undefined) {
          marked += text.slice(done, index) + aliasOf(token)
          done = index + token.length
        }
        // One that does not count may overlap one that does.
        anyToken.lastIndex = token === undefined ? index + 1 : done
      }
      return marked + text.slice(done)
    },
  }
}

/** Source of a regular expression for any of the texts, the longest first, as the reference's matcher prefers. */
export function anySpelling(texts: readonly string[]): string {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')
}
