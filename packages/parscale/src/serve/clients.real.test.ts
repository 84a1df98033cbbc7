/** Programs of others, unmodified: PyPI's openai, and npm's ai with @ai-sdk/openai-compatible. SmolLM2, and the model that ships. */
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { loadTextModel } from '../load/load.ts'
import { runClient } from './testing/clients.ts'
import { listening } from './testing/listening.ts'

const smollm2 = fileURLToPath(new URL('../../../../.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))

let small: TextModel
/** What the model answers by our own library. */
let answer: string
let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => {
  small = await loadTextModel(undefined, { scheduling: { keptBytes: 64e6 } })
  const smol = await loadTextModel(smollm2, { bits: 8, scheduling: { keptBytes: 64e6, promptTokensBeside: 32 } })
  const turn = smol.chat().send('What is the capital of France?', { temperature: 0, maxTokens: 16 })
  let next = await turn.next()
  while (!next.done) next = await turn.next()
  answer = next.value.text
  server = await listening({ small, smol })
})
afterAll(() => server?.close())

it("PyPI's openai", async () => {
  const got = await runClient(pythonEnvironment('clients'), 'openai_client.py', [server.baseURL, 'smol'])
  expect(got).toMatchObject({
    content: answer,
    usage: { completion_tokens: got.logprobs, prompt_tokens_details: { cached_tokens: expect.any(Number) } },
    models: ['small', 'smol'],
    embedding: 576,
    error: ['context_length_exceeded', expect.stringMatching(/8192/)],
  })
  for (const same of ['streamed', 'response', 'final']) expect(got[same]).toBe(answer)
  const events = got.events as string[]
  expect([events[0], events.at(-1)]).toEqual(['response.created', expect.stringMatching(/^response\.(completed|incomplete)$/)])
})

it("npm's ai with @ai-sdk/openai-compatible", async () => {
  const got = await runClient(process.execPath, 'ai-client.mjs', [server.baseURL, 'smol'])
  const { tokens, reasons } = got as { tokens: number[]; reasons: string[] }
  expect(got).toMatchObject({ text: answer, streamed: answer, embedding: 576 })
  expect(tokens[1]).toBe(tokens[0])
  expect(reasons[1]).toBe(reasons[0])
})
