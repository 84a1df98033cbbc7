import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parscaleConfig } from '../model/index.ts'
import { parseModelConfig } from './config.ts'

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const plain = {
  model_type: 'qwen2',
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
const parse = (changes: Record<string, unknown>) => parseModelConfig({ ...plain, ...changes })

const models = ['goldens', 'transformers'].flatMap((set) =>
  readdirSync(new URL(set, fixtures), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${set}/${entry.name}`),
)

it.each(models)('reads %s as it is written', (model) => {
  const json = JSON.parse(readFileSync(new URL(`${model}/config.json`, fixtures), 'utf8'))
  expect(parseModelConfig(json)).toMatchObject({
    modelType: json.model_type,
    vocabSize: json.vocab_size,
    hiddenSize: json.hidden_size,
    headDim: json.head_dim ?? json.hidden_size / json.num_attention_heads,
    rmsNormEps: json.rms_norm_eps,
    ropeTheta: json.rope_parameters?.rope_theta ?? json.rope_theta,
    tieWordEmbeddings: json.tie_word_embeddings,
    parscale: { n: json.parscale_n ?? 1, attnSmooth: json.parscale_n > 1 ? json.parscale_attn_smooth : 0 },
    raw: json,
  })
})

describe('what absence means', () => {
  it('no head size: hidden / heads; no key for tying: the tensors decide', () => {
    expect(parse({})).toMatchObject({ headDim: 4, tieWordEmbeddings: undefined, parscale: parscaleConfig({ n: 1 }) })
  })

  it('no eos: none; one or several are a list', () => {
    expect(parse({}).eosTokenIds).toEqual([])
    expect(parse({ eos_token_id: 7 }).eosTokenIds).toEqual([7])
    expect(parse({ eos_token_id: [7, 8] }).eosTokenIds).toEqual([7, 8])
  })

  it('qwen2 slides from max_window_layers on, and only if told to', () => {
    const window = { sliding_window: 5, max_window_layers: 1 }
    expect(parse(window).slidingWindows).toEqual([null, null, null])
    expect(parse({ ...window, use_sliding_window: true }).slidingWindows).toEqual([null, 5, 5])
  })

  it('mistral slides in every layer, and knows no layer_types; qwen2 slides where layer_types says so', () => {
    const mistral = { model_type: 'mistral', sliding_window: 5 }
    expect(parse(mistral).slidingWindows).toEqual([5, 5, 5])
    const types = ['full_attention', 'sliding_attention', 'full_attention']
    expect(() => parse({ ...mistral, layer_types: types })).toThrow(/layer_types is no key of mistral/)
    const qwen2 = { sliding_window: 5, use_sliding_window: true, layer_types: types }
    expect(parse(qwen2).slidingWindows).toEqual([null, 5, null])
  })

  it('biases: qwen2 has them on q, k, v; llama where the file says', () => {
    expect(parse({}).attentionBias).toEqual({ qkv: true, o: false })
    expect(parse({ model_type: 'llama' }).attentionBias).toEqual({ qkv: false, o: false })
    expect(parse({ model_type: 'llama', attention_bias: true, mlp_bias: true })).toMatchObject({
      attentionBias: { qkv: true, o: true },
      mlpBias: true,
    })
  })
})

const parscale = { model_type: 'qwen2_parscale', parscale_n: 2, parscale_n_tokens: 3, parscale_attn_smooth: 0.1 }
const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 }

describe('refuses, by name', () => {
  it.each<[Record<string, unknown>, RegExp]>([
    [{ model_type: 'gpt2' }, /model_type "gpt2" is not supported; supported are qwen2_parscale, qwen2, qwen3, llama, mistral/],
    [{ hidden_act: 'gelu' }, /hidden_act "gelu" is not supported/],
    [
      { rope_scaling: { rope_type: 'yarn', factor: 4 } },
      /rope scaling "yarn" is not supported; supported are default, linear, llama3/,
    ],
    [{ rope_parameters: { full_attention: { rope_theta: 1e4 } } }, /rotation that differs by layer \(full_attention\)/],
    [
      { rope_parameters: { rope_theta: 10000 }, rope_scaling: { rope_type: 'yarn', factor: 4 } },
      /rope scaling "yarn" is not supported/,
    ],
    [{ model_type: 'phi3', rope_scaling: { type: 'longrope', factor: 4 } }, /rope scaling "longrope" is not supported/],
    [{ layer_types: ['full_attention', 'linear_attention', 'full_attention'] }, /layer type "linear_attention" is not supported/],
    [{ quantization_config: { quant_method: 'gptq' } }, /the weights are quantised \(quantization_config, gptq\)/],
  ])('what is unsupported: %j', (changes, message) => {
    expect(() => parse(changes)).toThrow(message)
    expect(() => parse(changes)).toThrow(expect.objectContaining({ kind: 'unsupported' }))
  })

  it.each<[Record<string, unknown>, RegExp]>([
    [{ vocab_size: undefined }, /config\.json: vocab_size: .*no default is assumed/],
    [{ hidden_size: -8 }, /hidden_size/],
    [{ num_hidden_layers: 1.5 }, /num_hidden_layers/],
    [{ num_hidden_layers: 1e9 }, /num_hidden_layers/],
    [{ rms_norm_eps: 0 }, /rms_norm_eps/],
    [{ rope_theta: undefined }, /rope_theta is missing/],
    [{ num_attention_heads: 3 }, /head_dim is absent and hidden_size \(8\) is not a multiple of num_attention_heads \(3\)/],
    [
      { num_attention_heads: 4, num_key_value_heads: 3 },
      /num_attention_heads \(4\) must be a multiple of num_key_value_heads \(3\)/,
    ],
    [{ head_dim: 63 }, /head size must be even, got 63; check head_dim/],
    [{ rope_scaling: { ...llama3, low_freq_factor: undefined } }, /rope scaling "llama3" needs low_freq_factor/],
    [{ rope_scaling: { type: 'linear' } }, /rope scaling "linear" needs factor/],
    [{ layer_types: ['full_attention'] }, /layer_types has 1 entries for 3 layers/],
    [{ layer_types: Array(3).fill('sliding_attention') }, /asks for sliding_attention but use_sliding_window is not true/],
    [{ use_sliding_window: true, max_window_layers: 1 }, /sliding_window is missing; it decides the numbers/],
    [{ rope_parameters: { rope_theta: 10000 }, rope_scaling: llama3 }, /rope_scaling and rope_parameters say different things/],
    [{ model_type: 'mistral' }, /sliding_window is missing/],
    [{ model_type: 'llama', layer_types: Array(3).fill('sliding_attention') }, /which llama does not know/],
    [{ model_type: 'qwen3' }, /head_dim is missing; qwen3 models differ in it/],
    [{ use_sliding_window: true, sliding_window: 5 }, /use_sliding_window is true but max_window_layers is absent/],
    [{ model_type: 'qwen2_parscale' }, /parscale_n is missing/],
    [{ ...parscale, parscale_n_tokens: undefined }, /parscale_n_tokens is missing; published checkpoints differ in it/],
    [{ ...parscale, parscale_attn_smooth: undefined }, /parscale_attn_smooth is missing/],
    [{ ...parscale, parscale_attn_smooth: 2 }, /parscale_attn_smooth/],
  ])('what is missing or wrong: %j', (changes, message) => {
    expect(() => parse(changes)).toThrow(message)
    expect(() => parse(changes)).toThrow(expect.objectContaining({ kind: 'checkpoint' }))
  })

  it.each([null, 7, 'qwen2', [], {}])('what is no config at all: %j', (json) => {
    expect(() => parseModelConfig(json)).toThrow(/model_type is missing; supported are/)
  })
})

it.each([
  ['use_bidirectional_attention', true],
  ['is_causal', false],
])('refuses %s %s: transformers then lets tokens see what follows', (key, value) => {
  expect(() => parse({ [key]: value })).toThrow(`${key} is ${value}`)
  expect(parse({ [key]: !value }).slidingWindows).toEqual([null, null, null])
  expect(parse({ [key]: null }).slidingWindows).toEqual([null, null, null])
})
