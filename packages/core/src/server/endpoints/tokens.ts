/** /tokenize, /detokenize and /tokenizer_info, as evaluation harnesses ask for them. */
import type { z } from 'zod'
import type { Answer } from '../answer.ts'
import { modelFor, type ServerContext } from '../context.ts'
import { invalid } from '../errors.ts'
import { checkIds } from '../generate.ts'
import type { detokenizeRequest, tokenizeRequest } from '../protocol/tokens.ts'
import type { RequestScope } from '../scope.ts'
import { plainConversation } from './conversation.ts'

export async function tokenize(
  request: z.infer<typeof tokenizeRequest>,
  scope: RequestScope,
  context: ServerContext,
): Promise<Answer> {
  const { model } = await modelFor(request.model, undefined, scope, context)
  const { tokenizer } = model.text
  const { prompt, messages } = request
  if ((prompt === undefined) === (messages === undefined)) throw invalid('give either prompt or messages', 'prompt')
  const tokens = messages
    ? plainConversation(messages, model, request.add_generation_prompt ?? true)
    : await tokenizer.encodeLong(prompt!, { addSpecial: request.add_special_tokens ?? true, signal: scope.signal })
  return {
    json: {
      count: tokens.length,
      max_model_len: model.text.model.config.maxPositionEmbeddings,
      tokens,
      token_strs: request.return_token_strs ? tokens.map((id) => tokenizer.tokenText(id)) : null,
    },
  }
}

export async function detokenize(
  request: z.infer<typeof detokenizeRequest>,
  scope: RequestScope,
  context: ServerContext,
): Promise<Answer> {
  const { model } = await modelFor(request.model, undefined, scope, context)
  checkIds(request.tokens, model, 'tokens')
  return { json: { prompt: model.text.tokenizer.decode(request.tokens) } }
}

export async function tokenizerInfo(name: string | undefined, scope: RequestScope, context: ServerContext): Promise<Answer> {
  const { model } = await modelFor(name, undefined, scope, context)
  const { tokenizer, model: loaded } = model.text
  const [eos] = tokenizer.eosTokenIds.length > 0 ? tokenizer.eosTokenIds : loaded.config.eosTokenIds
  const spelled = (id: number | null | undefined) => (id === null || id === undefined ? null : tokenizer.tokenText(id))
  return {
    json: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: spelled(eos),
      bos_token: spelled(tokenizer.bosTokenId),
      eos_token_id: eos ?? null,
      bos_token_id: tokenizer.bosTokenId,
      vocab_size: tokenizer.vocabSize,
      model_max_length: loaded.config.maxPositionEmbeddings,
      chat_template: model.text.chatTemplate?.source ?? null,
    },
  }
}
