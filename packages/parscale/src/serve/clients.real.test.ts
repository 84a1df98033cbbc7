/** Programs of others, unmodified: PyPI's openai and lm_eval, and npm's ai with @ai-sdk/openai-compatible. SmolLM2, and the model that ships. */
import { spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { scoreIds } from '@parscale/core/internal/evaluation'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { loadTextModel } from '../load/load.ts'
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

async function run(program: string, script: string, args: readonly string[], input = ''): Promise<Record<string, unknown>> {
  const path = fileURLToPath(new URL(`testing/${script}`, import.meta.url))
  const child = spawn(program, [path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.end(input)
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout.trim().split('\n').at(-1)!)
}

it("PyPI's openai", async () => {
  const got = await run(pythonEnvironment('clients'), 'openai_client.py', [server.baseURL, 'smol'])
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
    const { scores, texts } = (await run(
      pythonEnvironment('clients'),
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

it("npm's ai with @ai-sdk/openai-compatible", async () => {
  const got = await run(process.execPath, 'ai-client.mjs', [server.baseURL, 'smol'])
  const { tokens, reasons } = got as { tokens: number[]; reasons: string[] }
  expect(got).toMatchObject({ text: answer, streamed: answer, embedding: 576 })
  expect(tokens[1]).toBe(tokens[0])
  expect(reasons[1]).toBe(reasons[0])
})
