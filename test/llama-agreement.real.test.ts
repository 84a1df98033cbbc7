/**
 * A real model against another engine: SmolLM2-135M-Instruct on 500 tokens of real text, ours in exact float32, llama.cpp
 * (node-llama-cpp) on the same Q4_1 file and on its exact float32 copy. Prints the share of equal top-1 and the mean KL.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { scorePositions } from '@parscale/core/internal/evaluation'
import { logSoftmax, type TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type LogitsOptions, loadPeer } from '../bench/llama-peer.ts'
import { loadTextModel } from '../packages/parscale/src/load/load.ts'
import { fetchSmolLM2 } from '../scripts/fetch-smollm2.mjs'
import { pythonEnvironment } from '../scripts/python-env.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const realText = readFileSync(`${root}LICENSE`, 'utf8')

let file: string
let ours: TextModel
let ids: number[]
let expected: Float64Array[]

beforeAll(async () => {
  file = await fetchSmolLM2()
  ours = await loadTextModel(file, { bits: 32, threads: 2, env: { ...process.env, PARSCALE_CACHE: `${root}.cache/parscale` } })
  ids = ours.tokenizer.encode(realText).slice(0, 500)
  expected = []
  for await (const { logits } of scorePositions(ours.engine, ids)) expected.push(logSoftmax(logits))
})
afterAll(() => ours?.dispose())

const argmax = (row: ArrayLike<number>) => Array.from(row).reduce((best, x, i) => (x > row[best]! ? i : best), 0)

/** Mean KL(ours || theirs) in nats and the share of positions with the same most probable token. */
async function compare(path: string, options: LogitsOptions): Promise<{ kl: number; top1: number; tokens: number[] }> {
  const peer = await loadPeer(path, { threads: 2 })
  let [kl, same, position] = [0, 0, 0]
  for await (const logits of peer.distributions(ids, options)) {
    const theirs = logSoftmax(logits)
    const p = expected[position++]!
    kl += p.reduce((sum, log, i) => sum + Math.exp(log) * (log - theirs[i]!), 0)
    same += argmax(p) === argmax(theirs) ? 1 : 0
  }
  const tokens = peer.tokenize(realText).slice(0, 500)
  await peer.dispose()
  return { kl: kl / position, top1: same / position, tokens }
}

it('agrees with llama.cpp on the same Q4_1 file, up to its 8-bit activations', async () => {
  const { kl, top1, tokens } = await compare(file, {})
  console.info(
    `Q4_1, llama.cpp's defaults: top-1 equal at ${(100 * top1).toFixed(1)} % of ${ids.length} tokens, mean KL ${kl.toExponential(2)}`,
  )
  expect(tokens).toEqual(ids)
  // With quantised weights llama.cpp rounds activations to 8 bits; we compute in float32 from the same weights.
  expect(top1).toBeGreaterThan(0.95)
  expect(kl).toBeLessThan(0.01)
})

it('equals llama.cpp where that computes in float32 too', async () => {
  const copy = `${root}.cache/smollm2/SmolLM2-135M-Instruct.F32.gguf`
  if (!existsSync(copy)) execFileSync(pythonEnvironment('gguf'), [`${root}bench/make-gguf.py`, 'dequantise', file, copy])
  const { kl, top1 } = await compare(copy, { cacheType: 'F32', flashAttention: false })
  console.info(
    `F32 copy, F32 cache: top-1 equal at ${(100 * top1).toFixed(1)} % of ${ids.length} tokens, mean KL ${kl.toExponential(2)}`,
  )
  expect(top1).toBeGreaterThan(0.998)
  expect(kl).toBeLessThan(1e-7)
})

it('generates sensible English, and the same again from its cache in the next turn', async () => {
  const capital = await ours.generate('The capital of France is', { temperature: 0, maxTokens: 12 })
  expect(capital.text).toContain('Paris')
  const chat = ours.chat()
  const ask = async (message: string) => {
    const stream = chat.send(message, { temperature: 0, maxTokens: 40 })
    for (;;) {
      const { done, value } = await stream.next()
      if (done) return value
    }
  }
  const first = await ask('What is the capital of France?')
  console.info(`SmolLM2: ${JSON.stringify(capital.text)}; ${JSON.stringify(first.text)}`)
  expect(first.text).toContain('Paris')
  const cached = chat.cachedTokens
  let computed = 0
  const second = chat.send('And of Italy?', { temperature: 0, maxTokens: 20, onPrefill: (done) => (computed ||= done) })
  const { value } = await second.next()
  expect(value).toBeDefined()
  await second.return(undefined as never)
  // What was in the cache is where the second turn's prompt begins, but for the last answer's final token.
  expect(computed).toBeGreaterThan(cached)
  await chat.close()
})
