/** Documents to token ids, with the tokens that end them and a mask of what is learned. */
import { usageError } from '../../errors.ts'
import type { ChatTemplate, Tokenizer } from '../../tokenizer/index.ts'
import { encodeChat } from './chat-encoder.ts'
import type { EncodedDocument, TrainingDocument } from './documents.ts'
import { textEncoding } from './text-encoder.ts'

export interface EncodeOptions {
  readonly tokenizer: Tokenizer
  /** For conversations: the assistant's turns are learned, the rest is read. */
  readonly chatTemplate?: ChatTemplate
  /** Ends each text. Default: the tokenizer's first end-of-text token; null for none. */
  readonly eosTokenId?: number | null
}

/**
 * A function from a document to what a model is trained on. Texts end with the end-of-text token; conversations as their
 * template ends them. Special tokens spelled in texts and messages are ordinary text.
 *
 * @throws usage error for a conversation without a template, or a tokenizer that does not know how texts end
 */
export function documentEncoder(
  options: EncodeOptions,
): (document: TrainingDocument, signal?: AbortSignal) => Promise<readonly EncodedDocument[]> {
  const { tokenizer, chatTemplate, eosTokenId = tokenizer.eosTokenIds[0] } = options
  const texts = textEncoding(tokenizer)
  return async (document, signal) => {
    if ('text' in document) return [{ ids: withEnd(await texts.encodeLong(document.text, signal), eosTokenId) }]
    if (chatTemplate) return encodeChat(document, chatTemplate, tokenizer)
    throw usageError(
      `${document.where}: is a conversation; to learn its answers, ask for chat data and use a tokenizer with a chat template`,
    )
  }
}

function withEnd(ids: Uint32Array, eosTokenId: number | null | undefined): Uint32Array {
  if (eosTokenId === undefined) {
    throw usageError('the tokenizer names no end-of-text token (eos_token); say which id ends a text', { flag: 'eosTokenId' })
  }
  if (eosTokenId === null || ids.at(-1) === eosTokenId) return ids
  const ended = new Uint32Array(ids.length + 1)
  ended.set(ids)
  ended[ids.length] = eosTokenId
  return ended
}
