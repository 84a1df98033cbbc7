/** A tokenizer without a learned vocabulary: a token per byte, for tiny models and tests. */
import { byteCharacters, specialTokenEntry } from './byte-level.ts'
import type { TokenizerFiles } from './types.ts'

/**
 * Files of a tokenizer whose ids 0 to 255 are the bytes of UTF-8 and whose ids from 256 on are `specialTokens`, in order.
 * By custom the first special token, where there is one, begins a text and the second ends it.
 */
export function byteTokenizerFiles(specialTokens: readonly string[]): TokenizerFiles {
  const [bosToken, eosToken] = specialTokens
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: specialTokens.map((content, i) => specialTokenEntry(content, 256 + i)),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      model: { type: 'BPE', vocab: Object.fromEntries(byteCharacters.map((character, byte) => [character, byte])), merges: [] },
    },
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(bosToken !== undefined && { bos_token: bosToken }),
      ...(eosToken !== undefined && { eos_token: eosToken }),
    },
  }
}
