/**
 * Every tensor that a model of a given configuration has: name, shape and what part of the model it is.
 * Names and layouts are those of the released checkpoints; for choices that those do not have, our own. Loading checks against this list, counting adds it up.
 */
import type { ModelConfig } from './config.ts'

export type Part = 'embedding' | 'attention' | 'mlp' | 'norm' | 'output' | 'prefix' | 'adapter' | 'aggregation'

export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly part: Part
}

/** The backbone: everything that does not depend on P. `tied`: the output matrix is the embedding. */
export function backboneParameters(c: ModelConfig, tied: boolean): Parameter[] {
  const list: Parameter[] = []
  const add = (part: Part, name: string, ...shape: number[]) => list.push({ name, shape, part })
  const q = c.numAttentionHeads * c.headDim
  const kv = c.numKeyValueHeads * c.headDim
  add('embedding', 'model.embed_tokens.weight', c.vocabSize, c.hiddenSize)
  for (let l = 0; l < c.numHiddenLayers; l++) {
    const at = `model.layers.${l}`
    add('norm', `${at}.input_layernorm.weight`, c.hiddenSize)
    for (const [name, size] of [
      ['q', q],
      ['k', kv],
      ['v', kv],
    ] as const) {
      add('attention', `${at}.self_attn.${name}_proj.weight`, size, c.hiddenSize)
      if (c.attentionBias.qkv) add('attention', `${at}.self_attn.${name}_proj.bias`, size)
    }
    if (c.qkNorm) {
      add('norm', `${at}.self_attn.q_norm.weight`, c.headDim)
      add('norm', `${at}.self_attn.k_norm.weight`, c.headDim)
    }
    add('attention', `${at}.self_attn.o_proj.weight`, c.hiddenSize, q)
    if (c.attentionBias.o) add('attention', `${at}.self_attn.o_proj.bias`, c.hiddenSize)
    add('norm', `${at}.post_attention_layernorm.weight`, c.hiddenSize)
    for (const [name, out, inner] of [
      ['gate', c.intermediateSize, c.hiddenSize],
      ['up', c.intermediateSize, c.hiddenSize],
      ['down', c.hiddenSize, c.intermediateSize],
    ] as const) {
      add('mlp', `${at}.mlp.${name}_proj.weight`, out, inner)
      if (c.mlpBias) add('mlp', `${at}.mlp.${name}_proj.bias`, out)
    }
  }
  add('norm', 'model.norm.weight', c.hiddenSize)
  if (!tied) add('output', 'lm_head.weight', c.vocabSize, c.hiddenSize)
  return list
}

/** The linear layers of one decoder layer, as adapters see them. `name`: the weight's without `.weight`. */
export function linearLayers(c: ModelConfig, layer: number): { name: string; out: number; inner: number }[] {
  const at = `model.layers.${layer}`
  const [hidden, mlp] = [c.hiddenSize, c.intermediateSize]
  const [q, kv] = [c.numAttentionHeads * c.headDim, c.numKeyValueHeads * c.headDim]
  return [
    { name: `${at}.self_attn.q_proj`, out: q, inner: hidden },
    { name: `${at}.self_attn.k_proj`, out: kv, inner: hidden },
    { name: `${at}.self_attn.v_proj`, out: kv, inner: hidden },
    { name: `${at}.self_attn.o_proj`, out: hidden, inner: q },
    { name: `${at}.mlp.gate_proj`, out: mlp, inner: hidden },
    { name: `${at}.mlp.up_proj`, out: mlp, inner: hidden },
    { name: `${at}.mlp.down_proj`, out: hidden, inner: mlp },
  ]
}

/**
 * What streams add: what each does to its input, in every layer, and the aggregator. Empty for a plain model. What a stream
 * owns has the stream as its first axis.
 */
export function streamParameters(c: ModelConfig): Parameter[] {
  const layers = Array.from({ length: c.numHiddenLayers }, (_, l) => l)
  const gate: Parameter[] = c.parscale.gate ? [{ name: gateName, shape: [c.parscale.n], part: 'prefix' }] : []
  return [...layers.flatMap((l) => inputParameters(c, l)), ...gate, ...aggregationParameters(c)]
}

function inputParameters(c: ModelConfig, layer: number): Parameter[] {
  const { n: P, input, nTokens, loraRank: rank } = c.parscale
  switch (input) {
    case 'none':
      return []
    case 'prefix':
      return (['k', 'v'] as const).map((which) => ({
        name: prefixName(layer, which),
        shape: [P, c.numKeyValueHeads, nTokens, c.headDim],
        part: 'prefix',
      }))
    case 'lora':
      return linearLayers(c, layer).flatMap(({ name, out, inner }): Parameter[] => [
        { name: loraName(name, 'A'), shape: [P, rank, inner], part: 'adapter' },
        { name: loraName(name, 'B'), shape: [P, out, rank], part: 'adapter' },
      ])
    case 'bitfit':
      // The middle axis is the tokens', over which the bias repeats.
      return linearLayers(c, layer).map(({ name, out }) => ({ name: biasName(name), shape: [P, 1, out], part: 'adapter' }))
  }
}

function aggregationParameters(c: ModelConfig): Parameter[] {
  const { n: P, aggregation } = c.parscale
  const H = c.hiddenSize
  const named = (name: string, ...shape: number[]): Parameter => ({
    name: `model.aggregate_layer.${name}`,
    shape,
    part: 'aggregation',
  })
  switch (aggregation) {
    case 'dynamic':
      return [named('0.weight', H, P * H), named('0.bias', H), named('2.weight', P, H), named('2.bias', P)]
    case 'static':
      return [named('logits', P)]
    case 'average':
      return []
  }
}

export const prefixName = (layer: number, which: 'k' | 'v'): string => `model.layers.${layer}.self_attn.prefix_${which}`

/** Of the linear layer that is called `layer`. */
export const loraName = (layer: string, which: 'A' | 'B'): string => `${layer}.lora_${which}`
export const biasName = (layer: string): string => `${layer}.stream_bias`
export const gateName = 'model.prefix_gate'

export const elementCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
