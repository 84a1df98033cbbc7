/** Answers and events against OpenAI's own schemas, as they come over the wire. */
import type { TextModel } from '@parscale/core/internal/generation'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TextModel as Model } from '../../../core/src/generation/index.ts'
import { loadTextModel } from '../load/load.ts'
import { listening } from './testing/listening.ts'
import { type AnswerName, schemaError } from './testing/openai-schemas.ts'

let text: TextModel
let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => {
  const loaded = await loadTextModel(undefined, { threads: 1 })
  const chatTemplate = '{% for m in messages %}{{ m.content }} {% endfor %}'
  text = new Model(
    loaded.model,
    loaded.tokenizer,
    createChatTemplate({ tokenizerJson: undefined, chatTemplate }, loaded.tokenizer),
  )
  server = await listening({ small: text })
})
afterAll(() => server?.close())

const post = (path: string, body: object) =>
  fetch(`${server.baseURL}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'small', temperature: 0, logit_bias: { 0: -100 }, ...body }),
  })
const messages = [{ role: 'user', content: 'Tell me of the people.' }]

const whole: [string, AnswerName, object][] = [
  ['chat/completions', 'CreateChatCompletionResponse', { messages, max_tokens: 5, n: 2 }],
  ['chat/completions', 'CreateChatCompletionResponse', { messages, max_tokens: 5, logprobs: true, top_logprobs: 3 }],
  ['completions', 'CreateCompletionResponse', { prompt: ['a', 'b'], max_tokens: 4 }],
  ['completions', 'CreateCompletionResponse', { prompt: 'The people', max_tokens: 4, logprobs: 2 }],
  ['embeddings', 'CreateEmbeddingResponse', { input: ['a', 'b'] }],
  ['responses', 'Response', { input: 'Tell me.', max_output_tokens: 5 }],
  ['responses', 'ErrorResponse', { input: 'Tell me.', temperature: 9 }],
  ['chat/completions', 'ErrorResponse', { messages: [] }],
]
it.each(whole)('%s: %s', async (path, name, body) => {
  expect(schemaError(name, await (await post(path, body)).json())).toBe(undefined)
})

it('models: ListModelsResponse', async () => {
  expect(schemaError('ListModelsResponse', await (await fetch(`${server.baseURL}/models`)).json())).toBe(undefined)
})

describe('events', () => {
  const streams: [string, AnswerName, object][] = [
    [
      'chat/completions',
      'CreateChatCompletionStreamResponse',
      { messages, max_tokens: 5, logprobs: true, top_logprobs: 1, stream_options: { include_usage: true } },
    ],
    ['completions', 'CreateCompletionResponse', { prompt: 'The people', max_tokens: 4, logprobs: 1 }],
    ['responses', 'ResponseStreamEvent', { input: 'Tell me.', max_output_tokens: 5 }],
  ]
  it.each(streams)('%s: %s', async (path, name, body) => {
    const events = (await (await post(path, { ...body, stream: true })).text())
      .split('\n\n')
      .map((event) => event.slice(event.indexOf('data: ') + 6))
      .filter((data) => data !== '' && data !== '[DONE]')
    expect(events.length).toBeGreaterThan(4)
    for (const event of events) {
      const parsed = JSON.parse(event) as { choices?: { finish_reason: unknown }[] }
      // Text completions have no schema of their own for pieces, whose reason is null.
      if (name === 'CreateCompletionResponse') for (const choice of parsed.choices!) choice.finish_reason ??= 'stop'
      expect(`${event}\n${schemaError(name, parsed)}`).toMatch(/\nundefined$/)
    }
  })
})

it('finds what is wrong', () => {
  expect(
    schemaError('ListModelsResponse', { object: 'list', data: [{ id: 1, object: 'model', created: 1, owned_by: '' }] }),
  ).toMatch('id must be string')
  expect(schemaError('ResponseStreamEvent', { type: 'response.created' })).toBeDefined()
})
