/**
 * GGUF files hold a byte-level tokenizer's vocabulary and merges, but only the name of how text is cut before merging
 * (`tokenizer.ggml.pre`). What each name stands for, as the models' own tokenizer.json has it; names and, for "default",
 * patterns from llama.cpp (src/llama-vocab.cpp, `llama_vocab::impl::load` and `llm_tokenizer_bpe`).
 */
import { bytesOnly, isolate, sequence } from '../pre-tokenizer.ts'
import type { Component } from '../tokenizer-json.ts'

export interface GgufPreTokenizer {
  readonly preTokenizer: Component
  readonly normalizer?: Component
  /** Words that are in the vocabulary are taken whole. */
  readonly ignoreMerges?: boolean
  /** Whether a text begins with BOS where the file does not say. */
  readonly addBos?: boolean
}

const byteLevel: Component = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }

/** One pattern after the other cuts what those before it left, then bytes are written as characters. */
const patterns = (...list: readonly string[]): Component => sequence([...list.map(isolate), bytesOnly])

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const wordsAndRest = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const tekken = [
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+`,
  `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*`,
  '\\p{N}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|')

const gpt2WithoutTrailingSpaces = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"

export const ggufPreTokenizers: Readonly<Record<string, GgufPreTokenizer>> = {
  default: {
    preTokenizer: patterns('[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2WithoutTrailingSpaces, '\\p{N}+', '[0-9][0-9][0-9]'),
  },
  'gpt-2': { preTokenizer: byteLevel },
  smollm: { preTokenizer: sequence([{ type: 'Digits', individual_digits: true }, byteLevel]) },
  // llama.cpp does not normalise; the models' own tokenizer does.
  qwen2: { preTokenizer: patterns(wordsAndRest('\\p{N}')), normalizer: { type: 'NFC' } },
  'llama-bpe': { preTokenizer: patterns(wordsAndRest('\\p{N}{1,3}')), ignoreMerges: true, addBos: true },
  tekken: { preTokenizer: patterns(tekken), ignoreMerges: true, addBos: true },
}
