/**
 * Trains a byte-level BPE tokenizer (R. Sennrich et al., arXiv 1508.07909, on bytes as GPT-2 does it), the kind that Qwen,
 * Llama 3 and SmolLM use: any text can be written in it and comes back unchanged.
 */
import { usageError } from '../../errors.ts'
import { byteCharacters, specialTokenEntry } from '../byte-level.ts'
import { ggufPreTokenizers } from '../gguf/pretokenizers.ts'
import type { TokenizerFiles } from '../types.ts'
import { type CountedWord, learnMerges, type Merges } from './merges.ts'
import { wordCounter } from './words.ts'

/** How text is cut into words: as the tokenizers of these models do it. They differ mostly in digits. */
export const bpePreTokenizers = ['gpt-2', 'smollm', 'qwen2', 'llama-bpe', 'tekken'] as const
export type BpePreTokenizer = (typeof bpePreTokenizers)[number]

export interface TrainBpeOptions {
  /** Tokens in all: special tokens, 256 bytes, and merges. A small text may give fewer. */
  readonly vocabSize: number
  /** Get the first ids, in order. The first one ends texts (`eos_token`). Default `<|endoftext|>` alone. */
  readonly specialTokens?: readonly string[]
  /** Default `gpt-2`. */
  readonly preTokenizer?: BpePreTokenizer
  /** Pairs that occur less often are not merged. Default 2. */
  readonly minFrequency?: number
}

/**
 * Learns a vocabulary from texts. Memory grows with the number of different words, not with the texts. The same texts in any
 * order give the same tokenizer: that of PyPI's `tokenizers` with BpeTrainer and the alphabet of bytes.
 *
 * @returns tokenizer.json and tokenizer_config.json, as createTokenizer reads them
 * @throws usage error for a vocabulary that cannot hold the bytes and special tokens, or special tokens named twice
 */
export async function trainBpe(
  texts: Iterable<string> | AsyncIterable<string>,
  options: TrainBpeOptions,
): Promise<TokenizerFiles> {
  const { vocabSize, specialTokens = ['<|endoftext|>'], preTokenizer = 'gpt-2', minFrequency = 2 } = options
  checkVocabulary(vocabSize, specialTokens)
  const { preTokenizer: cutting } = ggufPreTokenizers[preTokenizer]!
  const counter = wordCounter(cutting)
  for await (const text of texts) counter.count(text)

  const alphabet = [...specialTokens, ...byteCharacters.toSorted()] // in order of code points, as the reference
  const ids = new Map(alphabet.map((token, id) => [token, id]))
  const byteIds = byteCharacters.map((character) => ids.get(character)!)
  const utf8 = new TextEncoder()
  const words: CountedWord[] = Array.from(counter.words(), ([word, count]) => ({
    ids: Array.from(utf8.encode(word), (byte) => byteIds[byte]!),
    count,
  }))
  return tokenizerFiles(learnMerges(words, alphabet, { vocabSize, minFrequency }), specialTokens, cutting)
}

function checkVocabulary(vocabSize: number, specialTokens: readonly string[]): void {
  const least = 256 + specialTokens.length
  const largest = 2 ** 24
  if (!(Number.isInteger(vocabSize) && vocabSize >= least && vocabSize <= largest)) {
    throw usageError(
      `vocabulary: expected ${least} (the bytes and ${specialTokens.length} special tokens) to ${largest}, got ${vocabSize}`,
      { flag: 'vocabSize', expected: least, found: vocabSize },
    )
  }
  if (new Set([...specialTokens, ...byteCharacters, '']).size !== least + 1) {
    throw usageError('special tokens: each must be there once, not empty, and longer than one byte', {
      flag: 'specialTokens',
      found: specialTokens,
    })
  }
}

function tokenizerFiles({ tokens, merges }: Merges, specialTokens: readonly string[], cutting: object): TokenizerFiles {
  const [eosToken] = specialTokens
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: specialTokens.map(specialTokenEntry),
      normalizer: null,
      pre_tokenizer: cutting,
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
    },
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(eosToken !== undefined && { eos_token: eosToken }),
    },
  }
}
