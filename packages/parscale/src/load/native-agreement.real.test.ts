/**
 * The native step beside ONNX Runtime, on the same weights: in float32 and in the same integers, on SmolLM2 and on the model that ships.
 * Both round what they multiply integers with to 8 bits, each in its own way: so KL to float32 should be alike, and small between them.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compareIds } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import { createTokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { afterAll, describe, expect, it } from 'vitest'
import { fetchSmolLM2 } from '../../../../scripts/fetch-smollm2.mjs'
import { argmax } from '../../../core/src/testing/fixtures.ts'
import { engines } from '../testing/engines.ts'
import { type LoadOptions, loadModel } from './load.ts'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const realText = readFileSync(`${root}LICENSE`, 'utf8')
const env = { ...process.env, PARSCALE_CACHE: `${root}.cache/parscale` }

const closing: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of closing) await close()
})

async function load(model: string | undefined, options: LoadOptions) {
  const loaded = await loadModel(model, { threads: 2, env, ...options })
  closing.push(() => loaded.model.dispose(), loaded.close)
  return loaded
}

/** Share of equal tokens where each is given what ONNX Runtime has written so far. */
async function greedyAgreement(
  onnx: Engine,
  native: Engine,
  prompt: readonly number[],
  p: number,
  count: number,
): Promise<number> {
  const [mine, theirs] = [onnx.open({ p }), native.open({ p })]
  let [a, b] = [await onnx.prefill(mine, prompt), await native.prefill(theirs, prompt)]
  let same = 0
  for (let i = 0; i < count; i++) {
    const id = argmax(a.logits)
    if (argmax(b.logits) === id) same++
    a = (await onnx.step([{ sequence: mine, ids: [id], want: 'last' }]))[0]!
    b = (await native.step([{ sequence: theirs, ids: [id], want: 'last' }]))[0]!
  }
  onnx.close(mine)
  native.close(theirs)
  return same / count
}

describe.runIf(engines.includes('native'))('the same weights', () => {
  it.each([
    // In 8 and 4 bits alike: the integers of its file.
    ...[undefined, 8].map((bits) => ({ name: 'SmolLM2', bits, streams: [1], kl: bits ? 0.02 : 1e-6 })),
    ...[undefined, 8, 4].map((bits) => ({ name: 'the model that ships', bits, streams: [1, 2, 4, 8], kl: bits ? 0.002 : 1e-6 })),
  ])('$name, $bits bits', async ({ name, bits, streams, kl }) => {
    const model = name === 'SmolLM2' ? await fetchSmolLM2() : undefined
    const options = { bits: (bits ?? 32) as 8 | 4 | 32 }
    const [onnx, native] = [
      await load(model, { ...options, engine: 'onnx' }),
      await load(model, { ...options, engine: 'native' }),
    ]
    const ids = createTokenizer(await tokenizerFiles(onnx.backbone), onnx.backbone.path)
      .encode(realText)
      .slice(0, 400)
    for (const p of streams) {
      const [mine, theirs] = [new Engine(onnx.model), new Engine(native.model)]
      const comparison = await compareIds(mine, theirs, ids, { p })
      const greedy = await greedyAgreement(mine, theirs, ids.slice(0, 64), p, 64)
      console.info(
        `${name}, ${bits ?? 'float32, no'} bits, P = ${p}: KL ${comparison.kl.mean.toExponential(2)}, top-1 equal at ${(100 * comparison.topOneAgreement).toFixed(1)} % of ${ids.length} tokens, greedy ${(100 * greedy).toFixed(1)} % of 64`,
      )
      expect(comparison.kl.mean).toBeLessThan(kl)
      expect(comparison.topOneAgreement).toBeGreaterThan(bits ? 0.9 : 0.999)
      expect(greedy).toBeGreaterThan(bits ? 0.9 : 0.999)
    }
  })
})
