/**
 * A request alone and among fifty others, weights, keys and values in 8 bits: the same bytes, though rows are shared, prompts come in
 * pieces whose length the clock decides, and what prompts have in common is computed once.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { listening } from './testing/listening.ts'

let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => {
  const scheduling = { keptBytes: 64e6, promptSlowdown: 1.4, maxRows: 64 }
  const text = await loadTextModel(undefined, { engine: 'native', bits: 8, kv: 'int8', threads: 2, scheduling })
  server = await listening({ small: text })
})
afterAll(() => server?.close())

const words = 'The people of the United States, in order to form a more perfect union, establish justice, insure peace at home. '

async function ask(request: object): Promise<string> {
  const response = await fetch(`${server.baseURL}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'small', max_tokens: 24, logit_bias: { 0: -100 }, ...request }),
  })
  const { choices, parscale } = (await response.json()) as { choices: unknown; parscale: unknown }
  expect(response.status).toBe(200)
  return JSON.stringify({ choices, parscale })
}

it.each([1, 4, 8])('is answered the same, P = %i', { timeout: 60_000 }, async (p) => {
  const request = { prompt: words.repeat(3), seed: 7, logprobs: 5, parscale: { p, streams: true } }
  const alone = await ask(request)
  const crowd = Array.from({ length: 50 }, async (_, i) => {
    await new Promise((resolve) => setTimeout(resolve, i * 5))
    const prompt = (i % 3 === 0 ? words : `${i} `) + words.repeat(i % 4)
    return await ask({ prompt, seed: i, max_tokens: 4 + (i % 9), n: 1 + (i % 2), parscale: { p: [1, 2, 4, 8][i % 4] } })
  })
  const among = []
  for (const wait of [0, 60, 180]) among.push(new Promise((resolve) => setTimeout(resolve, wait)).then(() => ask(request)))
  expect(await Promise.all(among)).toEqual([alone, alone, alone])
  await Promise.all(crowd)
  expect(JSON.parse(alone)).toMatchObject({ choices: [{ logprobs: { tokens: { length: 24 } } }], parscale: { p } })
})
