/** One stream as a plain model gives what numpy gives for that stream alone (fixtures/options). */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder, loadEngine, maxDifference, readFixture } from '../../testing/fixtures.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import { convertModel } from './convert.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-fold-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const options = (name: string) => `${fixturesFolder}options/${name}`
const configOf = (path: string) => JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))

/** Hidden states of all tokens: [T, H] of a plain model, [T, P, H] of P streams. */
async function streamsOf(path: string, ids: readonly number[]): Promise<Float32Array> {
  const engine = await loadEngine(path)
  const [out] = await engine.step([{ sequence: engine.open(), ids, want: 'all' }])
  const streams = out!.streams.slice()
  await engine.dispose()
  return streams
}

/** Stream `p` of [T, P, H]. */
function one(streams: ArrayLike<number>, p: number, [T, P, H]: readonly number[]): number[] {
  return Array.from({ length: T! * H! }, (_, i) => streams[(Math.floor(i / H!) * P! + p) * H! + (i % H!)]!)
}

describe.each([
  ['lora-p3-static', 'qwen2'],
  ['lora-p2-dynamic', 'mistral'],
  ['bitfit-p2-average', 'llama'],
  ['scales-p3-dynamic', 'qwen2'],
  ['probabilities-p3-dynamic', 'llama'],
])('%s', (name, family) => {
  it('gives each stream alone, without a word of streams', async () => {
    const { arrays, expected } = await readFixture(`options/${name}`)
    const { data, shape } = arrays.get('streams')!
    for (let p = 0; p < shape[1]!; p++) {
      const target = join(folder, `${name}-${p}`)
      await convertModel(options(name), target, { fold: { stream: p + 1 } })
      const json = configOf(target)
      expect(json.model_type).toBe(family)
      expect(Object.keys(json).filter((key) => key.startsWith('parscale'))).toEqual([])
      // Hidden states agree with numpy to 1e-4 (fixtures/options/README.md).
      expect(maxDifference(await streamsOf(target, expected.input_ids), one(data, p, shape))).toBeLessThan(1e-4)
    }
  })
})

const shape = {
  ...{ vocab_size: 37, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, rms_norm_eps: 1e-6, rope_theta: 10000 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true },
}
const four = { parscale_version: 2, parscale_input: ['scales', 'lora', 'bitfit', 'norms'], parscale_lora_rank: 2 }
const gemma2 = {
  ...{ hidden_activation: 'gelu_pytorch_tanh', head_dim: 4, sliding_window: 4, query_pre_attn_scalar: 4 },
  ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30, attention_bias: false },
}
const ids = [1, 5, 9, 2, 36, 0, 7]

describe.each<[string, object, string]>([
  ['qwen2, which becomes a llama with biases', { model_type: 'qwen2', hidden_act: 'silu', ...four }, 'llama'],
  ['llama', { model_type: 'llama', hidden_act: 'silu', ...four }, 'llama'],
  ['mistral without a window', { model_type: 'mistral', hidden_act: 'silu', sliding_window: null, ...four }, 'llama'],
  [
    'phi3, whose matrices are stored together',
    { model_type: 'phi3', hidden_act: 'silu', sliding_window: null, ...four, parscale_input: ['scales', 'lora', 'norms'] },
    'phi3',
  ],
  [
    'gemma2, whose norms are 1 + weight',
    { model_type: 'gemma2', ...gemma2, ...four, parscale_input: ['scales', 'lora', 'norms'] },
    'gemma2',
  ],
  [
    'olmo2, with norms behind and of queries and keys',
    { model_type: 'olmo2', hidden_act: 'silu', ...four, parscale_input: ['scales', 'norms'] },
    'olmo2',
  ],
])('all kinds of %s', (_, json, family) => {
  it.each([1, 2])('P = %i', async (n) => {
    const source = join(folder, `${family}-${(json as { model_type: string }).model_type}-${n}`)
    const aggregation = n > 1 ? { parscale_aggregation: 'average' } : {}
    await writeRandomModel(source, { ...shape, ...json, ...aggregation, parscale_n: n })
    const streams = await streamsOf(source, ids)
    const target = `${source}-folded`
    await convertModel(source, target, { fold: n === 1 ? {} : { stream: 2 } })
    expect(configOf(target).model_type).toBe(family)
    const expected = one(streams, n - 1, [ids.length, n, 16])
    // Of numbers of size 1, through two layers of products of 24 terms in float32, in another order.
    expect(maxDifference(await streamsOf(target, ids), expected)).toBeLessThan(1e-4)
    // And it is not the backbone alone: the fold did something.
    const plain = `${source}-plain`
    await writeRandomModel(plain, { ...shape, ...json, parscale_n: 1, parscale_input: 'none' })
    expect(maxDifference(await streamsOf(plain, ids), expected)).toBeGreaterThan(0.1)
  })
})

it.each([
  ['prefix-p1', {}, /prefix-p1: its streams have prefixes, keys and values in front of the text, which no weight can hold/],
  [
    'scales-p3-dynamic',
    {},
    /scales-p3-dynamic: has 3 streams, and a plain model is one of them; say which, --fold 1 to --fold 3/,
  ],
  ['scales-p3-dynamic', { stream: 4 }, /there is no stream 4; choose from 1 to 3/],
  ['scales-p3-dynamic', { stream: 1, p: 2 }, /has stream sets with P = 3; say which with --p/],
  ['norms-bitfit-p2-average', { stream: 1 }, /biases \(bitfit\) on every linear layer, for which qwen3 models have no place/],
  ['../transformers/qwen3', {}, /is a plain model \(P = 1\), in which there is nothing to fold/],
])('refuses %s', async (name, fold, message) => {
  await expect(convertModel(options(name), join(folder, 'refused'), { fold })).rejects.toThrow(message)
})
