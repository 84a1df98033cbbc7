/** A small real tokenizer for tests: merges learned from JSON, with special and added tokens. */
import { createTokenizer } from '../../../tokenizer/tokenizer.ts'
import { trainBpe } from '../../../tokenizer/train-bpe/train-bpe.ts'
import type { Tokenizer } from '../../../tokenizer/types.ts'
import { TokenVocabulary } from '../machine/vocabulary.ts'

export interface Small {
  readonly tokenizer: Tokenizer
  readonly vocabulary: TokenVocabulary
}

/** @param texts what the merges are learned from */
export async function small(
  texts: readonly string[],
  specialTokens: readonly string[] = ['<|end|>', '<tool_call>', '</tool_call>'],
): Promise<Small> {
  const files = await trainBpe(texts, { vocabSize: 3000, specialTokens: [...specialTokens], preTokenizer: 'qwen2' })
  const tokenizer = createTokenizer(files)
  return { tokenizer, vocabulary: new TokenVocabulary(tokenizer) }
}
