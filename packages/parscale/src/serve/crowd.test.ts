/**
 * A request alone and among fifty others, weights, keys and values in 8 bits: the same bytes, though rows are shared, prompts come in
 * pieces whose length the clock decides, and what prompts have in common is computed once.
 */
import { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { listening } from './testing/listening.ts'

type Server = Awaited<ReturnType<typeof listening>>
/** One model, and nothing kept from the one to the other. */
let quiet: Server
let busy: Server
beforeAll(async () => {
  const text = await loadTextModel(undefined, { engine: 'native', bits: 8, kv: 'int8', threads: 2 })
  const scheduling = { keptBytes: 64e6, promptSlowdown: 1.4, maxRows: 64 }
  quiet = await listening({ small: text })
  busy = await listening({ small: new TextModel(text.model, text.tokenizer, undefined, [], scheduling) })
})
afterAll(async () => {
  await busy?.stop()
  await quiet?.close()
})

const words = 'The people of the United States, in order to form a more perfect union, establish justice, insure peace at home. '

async function ask(server: Server, request: object): Promise<string> {
  const response = await fetch(`${server.baseURL}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'small', max_tokens: 24, logit_bias: { 0: -100 }, ...request }),
  })
  const { choices, parscale } = (await response.json()) as { choices: unknown; parscale: unknown }
  expect(response.status).toBe(200)
  return JSON.stringify({ choices, parscale })
}

it.each([1, 4, 8])('is answered the same, P = %i', async (p) => {
  const requests = [0, 1, 2].map((i) => {
    const prompt = words.repeat(3) + words.slice(0, 30 * i)
    return { prompt, seed: 7 + i, logprobs: 5, parscale: { p, streams: true } }
  })
  const alone = []
  for (const request of requests) alone.push(await ask(quiet, request))
  const crowd = Array.from({ length: 50 }, async (_, i) => {
    await new Promise((resolve) => setTimeout(resolve, i * 5))
    const prompt = (i % 3 === 0 ? words : `${i} `) + words.repeat(i % 4)
    return await ask(busy, { prompt, seed: i, max_tokens: 4 + (i % 9), n: 1 + (i % 2), parscale: { p: [1, 2, 4, 8][i % 4] } })
  })
  const among = requests.map(async (request, i) => {
    await new Promise((resolve) => setTimeout(resolve, 60 * i))
    return await ask(busy, request)
  })
  expect(await Promise.all(among)).toEqual(alone)
  await Promise.all(crowd)
  expect(JSON.parse(alone[0]!)).toMatchObject({ choices: [{ logprobs: { tokens: { length: 24 } } }], parscale: { p } })
})
