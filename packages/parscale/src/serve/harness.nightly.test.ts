/** An evaluation harness, unmodified, against the server: its log-likelihoods are those of our own scoring. Its environment takes 800 MB. */
import { scoreIds } from '@parscale/core/internal/evaluation'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { loadTextModel } from '../load/load.ts'
import { runClient } from './testing/clients.ts'
import { listening } from './testing/listening.ts'

let small: TextModel
let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => {
  small = await loadTextModel(undefined, { scheduling: { keptBytes: 64e6 } })
  server = await listening({ small })
})
afterAll(() => server?.close())

describe("PyPI's lm_eval, local-completions", () => {
  const pairs = [
    ['The people of the United', ' States of America'],
    ['The people of the United', ' Kingdom'],
    ['It is the duty of the', ' Government to provide for the common defense'],
    ['We hold these truths', ' to be self-evident, that all men are created equal'],
    // The end of a text is the most probable next token here: it has an entry of its own.
    ['I thank you', '.\n'],
  ] as const

  it.each(['ids', 'text'])('gives the log-likelihoods of our own scoring, prompts as %s', async (kind) => {
    const { scores, texts } = (await runClient(
      pythonEnvironment('harness'),
      'lm_eval_client.py',
      [server.url, kind],
      JSON.stringify(pairs),
    )) as {
      scores: [number, boolean][]
      texts: string[]
    }
    for (const [i, [context, continuation]] of pairs.entries()) {
      const ids = small.tokenizer.encode(context + continuation)
      const { logProbabilities } = await scoreIds(small.engine, ids)
      const start = small.tokenizer.encode(context).length
      const expected = logProbabilities.slice(start).reduce<number>((sum, one) => sum + one!, 0)
      expect(scores[i]![0]).toBeCloseTo(expected, 4)
      const { text } = await small.generate(context, { maxTokens: 12, temperature: 0, stop: ['.', '<|endoftext|>'] })
      expect(texts[i]).toBe(text)
    }
    expect(scores[0]![0]).toBeGreaterThan(scores[1]![0])
  })
})
