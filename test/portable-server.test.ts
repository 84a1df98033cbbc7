/** The server without a listener: npm's openai, unmodified, whose `fetch` is the app's. What a page or a worker does with it. */
import { createServerApp, ModelRegistry, type ServerApp } from '@parscale/core/server'
import OpenAI from 'openai'
import { loadTextModel, type TextModel } from 'parscale'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'

let text: TextModel
let app: ServerApp
let client: OpenAI
beforeAll(async () => {
  text = await loadTextModel(undefined, { threads: 1 })
  app = createServerApp({ registry: new ModelRegistry([{ id: 'small', load: async () => text }]) })
  vi.stubGlobal('fetch', () => Promise.reject(new Error('nothing goes over the network')))
  client = new OpenAI({
    baseURL: 'http://localhost/v1',
    apiKey: 'none',
    maxRetries: 0,
    fetch: async (url, init) => await app.fetch(new Request(url, init)),
  })
})
afterAll(async () => {
  vi.unstubAllGlobals()
  await text.dispose()
})

const asked = { model: 'small', prompt: 'The people of the United States', max_tokens: 16, temperature: 0 }

it('answers as the library does, whole and in a stream', async () => {
  const { text: expected } = await text.generate(asked.prompt, { maxTokens: 16, temperature: 0 })
  const { choices } = await client.completions.create(asked)
  expect(choices[0]!.text).toBe(expected)
  let streamed = ''
  for await (const chunk of await client.completions.create({ ...asked, stream: true })) streamed += chunk.choices[0]!.text
  expect(streamed).toBe(expected)
})

it('ends when the client leaves', async () => {
  const stream = await client.completions.create({ ...asked, max_tokens: 2000, logit_bias: { 0: -100 }, stream: true })
  for await (const _ of stream) {
    expect(app.active()).toBe(1)
    break
  }
  await expect.poll(() => [app.active(), text.scheduler.counters.rows]).toEqual([0, 0])
})

it('constrains answers by itself, and refuses by name', async () => {
  const response_format = { type: 'regex', pattern: 'yes|no' } as const
  const request = { ...asked, ...{ response_format } }
  const { choices } = await client.completions.create(request)
  expect(['yes', 'no']).toContain(choices[0]!.text)
  await expect(client.completions.create({ ...asked, model: 'other' })).rejects.toMatchObject({
    status: 404,
    code: 'model_not_found',
  })
})
