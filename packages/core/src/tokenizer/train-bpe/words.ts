/** Cuts texts into the words that a byte-level tokenizer merges within, and counts them. */
import { exactPreTokenizer } from '../reference-rules.ts'
import type { Component } from '../tokenizer-json.ts'

/** @param preTokenizer of byte-level tokenizers: cutting by patterns, then bytes */
export function wordCounter(preTokenizer: Component): { count(text: string): void; words(): ReadonlyMap<string, number> } {
  const patterns = splitPatterns(exactPreTokenizer(preTokenizer, 'pre_tokenizer')!)
  const counts = new Map<string, number>()
  return {
    count(text) {
      const wellFormed = text.replace(/\p{Cs}/gu, '\uFFFD') // as UTF-8 encoders write lone surrogates
      for (const word of cut(wellFormed, patterns)) counts.set(word, (counts.get(word) ?? 0) + 1)
    },
    words: () => counts,
  }
}

/** Patterns of all `Split` parts, in order; the part that writes bytes as characters cuts nothing. */
function splitPatterns(part: Component): RegExp[] {
  if (part.type === 'Sequence') return (part.pretokenizers ?? []).flatMap(splitPatterns)
  const { pattern } = part
  return pattern && 'Regex' in pattern ? [javascriptPattern(pattern.Regex)] : []
}

/** Contractions in any case. `ſ` is a lower-case s. */
const anyCaseContractions = "(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

/** Rust's `\s` is Unicode's White_Space, which JavaScript's is not; and Node 20 has no `(?i:`. */
const javascriptPattern = (source: string): RegExp =>
  new RegExp(
    source
      .replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", anyCaseContractions)
      .replaceAll('\\s', '\\p{White_Space}')
      .replaceAll('\\S', '\\P{White_Space}'),
    'gu',
  )

/** Each pattern cuts what those before it left; what lies between matches is a word too. */
function* cut(text: string, [pattern, ...rest]: readonly RegExp[]): Generator<string> {
  if (!pattern) {
    if (text !== '') yield text
    return
  }
  let end = 0
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (index > end) yield* cut(text.slice(end, index), rest)
    if (rest.length === 0) yield match
    else yield* cut(match, rest)
    end = index + match.length
  }
  if (end < text.length) yield* cut(text.slice(end), rest)
}
