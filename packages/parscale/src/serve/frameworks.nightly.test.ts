/** Frameworks of others over our server, unmodified: LangChain.js, LiteLLM and inspect_ai. Their packages take some hundred MB. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { runClient, runNewerClient } from './testing/clients.ts'
import { serveSmolLM2 } from './testing/smollm2.ts'

let served: Awaited<ReturnType<typeof serveSmolLM2>>
beforeAll(async () => {
  served = await serveSmolLM2()
})
afterAll(() => served?.close())

it.each([
  ['LangChain.js', () => runNewerClient('langchain', 'langchain-client.mjs', served.args)],
  ['LiteLLM', () => runClient(pythonEnvironment('litellm'), 'litellm_client.py', served.args)],
])('%s', async (_, run) => {
  const city = { city: expect.stringMatching(/^(Paris|Rome)$/) }
  const got = await run()
  expect(got).toMatchObject({ content: served.answer, streamed: served.answer, structured: city, embedding: 576 })
  // It may call more than once.
  expect((got.called as unknown[])[0]).toEqual(['weather', city])
  expect(got.tokens).toBeGreaterThan(4)
})

it('inspect_ai', async () => {
  const [baseURL, chat] = served.args as [string, string]
  const got = await runClient(pythonEnvironment('inspect'), 'inspect_client.py', [baseURL, chat, served.answer.trim()])
  expect(got).toEqual({ status: 'success', content: served.answer, score: 'C', tokens: 16 })
})
