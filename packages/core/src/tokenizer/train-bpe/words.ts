/** Cuts texts into the words that a byte-level tokenizer merges within, and counts them. */
import { parsePreTokenizer } from '../pre-tokenizer.ts'
import type { Component } from '../tokenizer-json.ts'

/** @param preTokenizer of byte-level tokenizers: cutting by patterns, then bytes */
export function wordCounter(preTokenizer: Component): { count(text: string): void; words(): ReadonlyMap<string, number> } {
  const { cut } = parsePreTokenizer(preTokenizer, 'pre_tokenizer')
  const counts = new Map<string, number>()
  return {
    count(text) {
      const wellFormed = text.replace(/\p{Cs}/gu, '\uFFFD') // as UTF-8 encoders write lone surrogates
      for (const { text: word } of cut({ text: wellFormed, atStart: true })) counts.set(word, (counts.get(word) ?? 0) + 1)
    },
    words: () => counts,
  }
}
