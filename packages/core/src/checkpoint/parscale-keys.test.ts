import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aggregations, merges, type ParscaleConfig, parscaleConfig, type StreamInput, streamInputs } from '../model/index.ts'
import { parseModelConfig } from './config.ts'
import { parscaleKeys } from './parscale-keys.ts'

const plain = {
  model_type: 'llama',
  vocab_size: 9,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  max_position_embeddings: 64,
}
const parse = (keys: Record<string, unknown>) => parseModelConfig({ ...plain, ...keys }).parscale

it('reads back whatever it writes', () => {
  const choices: fc.Arbitrary<ParscaleConfig> = fc
    .record({
      n: fc.integer({ min: 1, max: 9 }),
      input: fc.subarray([...streamInputs], { minLength: 1 }),
      nTokens: fc.integer({ min: 1, max: 100 }),
      gate: fc.boolean(),
      loraRank: fc.integer({ min: 1, max: 64 }),
      ownWindow: fc.option(fc.integer({ min: 1, max: 100 })),
      aggregation: fc.constantFrom(...aggregations),
      merge: fc.constantFrom(...merges),
      attnSmooth: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    .map((options) => parscaleConfig({ ...options, gate: options.gate && options.input.includes('prefix') }))
  fc.assert(
    fc.property(choices, (config) => {
      expect(parse(JSON.parse(JSON.stringify(parscaleKeys(config))))).toEqual(config)
    }),
    { seed: 1 },
  )
})

it('writes no key of our own where the reference has the same meaning', () => {
  const reference = { parscale_n: 4, parscale_n_tokens: 48, parscale_attn_smooth: 0.01 }
  expect(parscaleKeys(parse(reference))).toEqual(reference)
  expect(Object.keys(parscaleKeys(parscaleConfig({ n: 1 })))).toEqual(Object.keys(reference))
})

it('writes a version where an earlier reader would not know the kinds', () => {
  const written = (input: StreamInput[], ownWindow?: number) => parscaleKeys(parscaleConfig({ n: 2, input, ownWindow }))
  expect(written(['lora'])).not.toHaveProperty('parscale_version')
  expect(written(['scales'])).toMatchObject({ parscale_version: 2, parscale_input: 'scales' })
  expect(written(['norms', 'prefix'])).toMatchObject({ parscale_version: 2, parscale_input: ['prefix', 'norms'] })
  // Whoever passed over the key would attend to other keys and values: also of prefixes, which the reference knows.
  expect(written(['prefix'], 64)).toMatchObject({ parscale_version: 3, parscale_input: 'prefix', parscale_own_window: 64 })
  expect(written(['prefix'])).not.toHaveProperty('parscale_own_window')
})

it('knows one stream with a learned prefix from the plain model, which may name a prefix length too', () => {
  const one = { parscale_n: 1, parscale_n_tokens: 48, parscale_attn_smooth: 0.01 }
  expect(parse(one)).toEqual(parscaleConfig({ n: 1 }))
  expect(parse({ ...one, parscale_input: 'prefix' })).toEqual(parscaleConfig({ n: 1, input: 'prefix', nTokens: 48 }))
})

describe('refuses', () => {
  it.each([
    // A newer version may have kinds that this one does not know.
    [
      { parscale_n: 2, parscale_version: 4, parscale_input: 'gates' },
      /parscale_version is 4, this parscale reads up to 3; install a newer one/,
    ],
    [{ parscale_n: 2, parscale_input: 'adapter' }, /parscale_input is "adapter"; there are prefix, /],
    [
      { parscale_n: 2, parscale_n_tokens: 4, parscale_attn_smooth: 0, parscale_aggregation: 'max' },
      /parscale_aggregation is "max"; there are .*static/,
    ],
    [
      { parscale_n: 2, parscale_input: 'bitfit', parscale_attn_smooth: 0, parscale_merge: 'logits' },
      /parscale_merge is "logits"; there are hidden/,
    ],
    [{ parscale_n: 2, parscale_input: 'lora', parscale_attn_smooth: 0 }, /parscale_lora_rank is missing/],
    [{ parscale_n: 2, parscale_input: 'lora', parscale_lora_rank: 0, parscale_attn_smooth: 0 }, /parscale_lora_rank: /],
    [{ parscale_n: 2, parscale_input: 'none', parscale_attn_smooth: 0 }, /would all be the same/],
    [
      { parscale_n: 2, parscale_input: 'bitfit', parscale_prefix_gate: true, parscale_attn_smooth: 0 },
      /prefix must be among .*, got \["bitfit"\]/,
    ],
    [{ parscale_input: 'prefix', parscale_n_tokens: 4 }, /parscale_n is missing/],
    [
      { parscale_n: 2, parscale_input: ['scales', 'gates'], parscale_attn_smooth: 0 },
      /parscale_input is "gates"; there are .*norms/,
    ],
    [{ parscale_n: 2, parscale_input: ['scales', 'scales'], parscale_attn_smooth: 0 }, /named once each, got "scales"/],
    [{ parscale_n: 2, parscale_input: ['scales', 'none'], parscale_attn_smooth: 0 }, /parscale_input is "none"; there are /],
    [{ parscale_n: 2, parscale_input: [], parscale_attn_smooth: 0 }, /would all be the same/],
    [{ parscale_n: 2, parscale_input: 'scales', parscale_attn_smooth: 0, parscale_version: 4 }, /reads up to 3; install/],
    [{ parscale_n: 2, parscale_input: 'scales', parscale_attn_smooth: 0, parscale_own_window: 0 }, /parscale_own_window: /],
    [{ parscale_n: 2, parscale_input: 'scales', parscale_attn_smooth: 0, parscale_own_window: 2.5 }, /parscale_own_window: /],
    [{ parscale_n: 2, parscale_input: 'bitfit' }, /parscale_attn_smooth is missing/],
  ])('%j', (keys, message) => {
    expect(() => parse(keys)).toThrow(message)
    expect(() => parse(keys)).toThrow(expect.objectContaining({ kind: 'checkpoint' }))
  })
})
