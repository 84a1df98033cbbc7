/** `@huggingface/tokenizers`, as far as we use it: text to tokens. Typed here, since its own types do not resolve under Node's rules. */
import * as library from '@huggingface/tokenizers'
import { checkpointError } from '../errors.ts'
import { exactNormalizer, exactPreTokenizer } from './reference-rules.ts'
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts'

export interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: number[]; readonly tokens: string[] }
  readonly model: { encode(pieces: readonly string[]): string[] }
}

const { Tokenizer } = library as unknown as { Tokenizer: new (json: object, config: object) => LibraryTokenizer }

/**
 * @param addedTokens what the library is to recognise in every text
 * @throws unsupported error naming a part that cannot be run as the reference runs it; checkpoint error for a damaged one
 */
export function openLibraryTokenizer(json: TokenizerJson, addedTokens: readonly AddedToken[], file: string): LibraryTokenizer {
  const parts = {
    model: json.model.raw,
    added_tokens: addedTokens,
    normalizer: exactNormalizer(json.normalizer, file),
    pre_tokenizer: exactPreTokenizer(json.preTokenizer, file),
    post_processor: null,
    decoder: null,
  }
  try {
    return new Tokenizer(parts, {})
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw checkpointError(`${file}: the tokenizer cannot be built: ${reason}`, { file, cause })
  }
}
