/** Every path of the server: what comes in, and who answers. */
import type { z } from 'zod'
import type { Answer } from './answer.ts'
import type { ServerContext } from './context.ts'
import { chat } from './endpoints/chat.ts'
import { completions } from './endpoints/completions.ts'
import { embeddings } from './endpoints/embeddings.ts'
import { listModels, loadModel, oneModel, unloadModel } from './endpoints/models.ts'
import { responses } from './endpoints/responses.ts'
import { detokenize, tokenize, tokenizerInfo } from './endpoints/tokens.ts'
import { chatRequest } from './protocol/chat.ts'
import { completionRequest, embeddingRequest } from './protocol/completions.ts'
import { responseRequest } from './protocol/responses.ts'
import { detokenizeRequest, modelRequest, tokenizeRequest } from './protocol/tokens.ts'
import type { RequestScope } from './scope.ts'

export interface RouteInput<B> {
  readonly body: B
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  /** Seconds since the epoch at which the server began. */
  readonly began: number
}

export interface Route {
  readonly method: 'get' | 'post'
  readonly path: string
  readonly summary: string
  readonly body?: z.ZodType
  readonly streams?: true
  readonly generates?: true
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the schema beside it says
  readonly answer: (input: RouteInput<any>, scope: RequestScope, context: ServerContext) => Answer | Promise<Answer>
}

/** Ties a route's body to its schema. */
const post = <S extends z.ZodType>(
  path: string,
  summary: string,
  body: S,
  answer: (body: z.infer<S>, scope: RequestScope, context: ServerContext, began: number) => Answer | Promise<Answer>,
  more: Pick<Route, 'streams' | 'generates'> = {},
): Route => ({
  ...{ method: 'post', path, summary, body, ...more },
  answer: ({ body, began }: RouteInput<z.infer<S>>, scope, context) => answer(body, scope, context, began),
})

export const routes: readonly Route[] = [
  post('/v1/chat/completions', 'An answer to a conversation', chatRequest, chat, { streams: true, generates: true }),
  post('/v1/completions', 'What follows a text', completionRequest, completions, { streams: true, generates: true }),
  post('/v1/responses', 'An answer with items, without memory', responseRequest, responses, { streams: true, generates: true }),
  post('/v1/embeddings', 'Hidden states of texts', embeddingRequest, embeddings),
  {
    method: 'get',
    path: '/v1/models',
    summary: 'The models of this server',
    answer: ({ began }, _, context) => listModels(context, began),
  },
  {
    method: 'get',
    path: '/v1/models/:model{.+}',
    summary: 'One model',
    answer: ({ params, began }, _, context) => oneModel(params.model!, context, began),
  },
  post('/models/load', 'Loads a model', modelRequest, ({ model }, scope, context, began) =>
    loadModel(model, scope, context, began),
  ),
  post('/models/unload', 'Frees the memory of a model', modelRequest, ({ model }, _, context, began) =>
    unloadModel(model, context, began),
  ),
  post('/tokenize', 'Text or messages to token ids', tokenizeRequest, tokenize),
  post('/detokenize', 'Token ids to text', detokenizeRequest, detokenize),
  {
    method: 'get',
    path: '/tokenizer_info',
    summary: 'What evaluation harnesses ask of a tokenizer',
    answer: ({ query }, scope, context) => tokenizerInfo(query.model, scope, context),
  },
]
