/** Spellings of special tokens in a text. */

/** Source of a regular expression for any of the texts, the longest first, as the reference's matcher prefers. */
export function anySpelling(texts: readonly string[]): string {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')
}
