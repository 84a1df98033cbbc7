import { describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../checkpoint/config.ts'
import {
  backboneParameters,
  type ModelConfig,
  type ParscaleOptions,
  parscaleConfig,
  streamParameters,
} from '../../model/index.ts'
import { initialParameters, requireFiniteParameters } from './initial-parameters.ts'

const backbone = parseModelConfig({
  model_type: 'qwen2',
  vocab_size: 400,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
})
const model = (options: ParscaleOptions): ModelConfig => ({ ...backbone, parscale: parscaleConfig(options) })
const all = (config: ModelConfig) => [...backboneParameters(config, true), ...streamParameters(config)]

describe('initialParameters', () => {
  const config = model({ n: 4, gate: true })
  const values = initialParameters(all(config), config, { seed: 7, init: 'random' })

  it('draws matrices and prefixes from N(0, 0.02); norms are 1, biases 0, the gate is open', () => {
    for (const { name, part } of all(config)) {
      const array = values.get(name)!
      const constant = part === 'norm' || name === 'model.prefix_gate' ? 1 : name.endsWith('.bias') ? 0 : undefined
      if (constant !== undefined) {
        expect([...new Set(array)], name).toEqual([constant])
        continue
      }
      const mean = array.reduce((a, b) => a + b, 0) / array.length
      const std = Math.sqrt(array.reduce((a, b) => a + (b - mean) ** 2, 0) / array.length)
      // Five standard errors of each.
      expect(Math.abs(mean), name).toBeLessThan((5 * 0.02) / Math.sqrt(array.length))
      expect(Math.abs(std - 0.02), name).toBeLessThan((5 * 0.02) / Math.sqrt(2 * array.length))
    }
  })

  it('gives a tensor the same values in any order and company, others for another seed, and streams values of their own', () => {
    const streams = streamParameters(config).toReversed()
    const alone = initialParameters(streams, config, { seed: 7, init: 'random' })
    for (const { name } of streams) expect(alone.get(name)).toEqual(values.get(name))
    const name = 'model.layers.1.self_attn.prefix_k'
    const other = initialParameters(streams, config, { seed: 8, init: 'random' }).get(name)!
    expect(other).not.toEqual(alone.get(name))
    expect(alone.get('model.layers.0.self_attn.prefix_k')).not.toEqual(alone.get(name))
    const quarter = other.length / 4
    expect(other.subarray(0, quarter)).not.toEqual(other.subarray(quarter, 2 * quarter))
  })

  it('near the identity: B of lora and biases of bitfit are 0, A is random', () => {
    const near = (options: ParscaleOptions) =>
      initialParameters(streamParameters(model(options)), model(options), { seed: 1, init: 'near-identity' })
    const at = 'model.layers.0.mlp.up_proj'
    const lora = near({ n: 2, input: 'lora', loraRank: 3 })
    expect([...new Set(lora.get(`${at}.lora_B`))]).toEqual([0])
    expect(new Set(lora.get(`${at}.lora_A`)).size).toBeGreaterThan(100)
    expect([...new Set(near({ n: 2, input: 'bitfit' }).get(`${at}.stream_bias`))]).toEqual([0])
    expect([...new Set(near({ n: 2, input: 'scales' }).get(`${at}.stream_output_scale`))]).toEqual([1])
  })

  it('factors: random signs and wide gains beside a fresh backbone, near 1 beside one that has learned', () => {
    const config = model({ n: 2, input: ['scales', 'norms'] })
    const scale = 'model.layers.0.mlp.up_proj.stream_output_scale'
    const gain = 'model.layers.0.input_layernorm.stream_gain'
    const all = [...backboneParameters(config, true), ...streamParameters(config)]
    const fresh = initialParameters(all, config, { seed: 1, init: 'random' })
    expect(new Set(fresh.get(scale))).toEqual(new Set([-1, 1]))
    const spread = (values: Float32Array) => Math.hypot(...values.map((x) => x - 1)) / Math.sqrt(values.length)
    const n = fresh.get(gain)!.length
    expect(Math.abs(spread(fresh.get(gain)!) - 0.5)).toBeLessThan((5 * 0.5) / Math.sqrt(2 * n))
    const added = initialParameters(streamParameters(config), config, { seed: 1, init: 'random' })
    for (const name of [scale, gain]) expect(spread(added.get(name)!)).toBeLessThan(0.03)
    expect(new Set(added.get(scale)).size).toBeGreaterThan(2)
  })

  it.each([
    [{ n: 2 }, /add the gate/],
    [{ n: 2, input: 'bitfit', aggregation: 'average' }, /would stay the same/],
    [{ n: 2, input: 'bitfit', aggregation: 'static' }, /would stay the same/],
  ] as [ParscaleOptions, RegExp][])('refuses to start %j near the identity', (options, message) => {
    const config = model(options)
    expect(() => initialParameters([], config, { seed: 1, init: 'near-identity' })).toThrow(message)
  })
})

it('names the first tensor that is not finite, and what to do', () => {
  const parameters = new Map([
    ['fine', Float32Array.of(1, 2)],
    ['model.layers.0.self_attn.prefix_k', Float32Array.of(0, Number.NaN)],
  ])
  expect(() => requireFiniteParameters(parameters, 'model.safetensors')).toThrow(
    /model\.safetensors: tensor model\.layers\.0\.self_attn\.prefix_k holds NaN at element 1.*--reset-streams/,
  )
  parameters.delete('model.layers.0.self_attn.prefix_k')
  expect(() => requireFiniteParameters(parameters, 'model.safetensors')).not.toThrow()
})
