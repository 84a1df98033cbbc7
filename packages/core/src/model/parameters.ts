/**
 * Every tensor that a model of a given configuration has: name, shape and what part of the model it is.
 * Names and layouts are those of the released checkpoints. Loading checks against this list, counting adds it up.
 */
import type { ModelConfig } from './config.ts'

export type Part = 'embedding' | 'attention' | 'mlp' | 'norm' | 'output' | 'prefix' | 'aggregation'

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

/** What P streams add: a prefix per layer and stream, and the aggregator. Empty for P = 1. */
export function streamParameters(c: ModelConfig): Parameter[] {
  const { n, nTokens } = c.parscale
  if (n === 1) return []
  const prefix = [n, c.numKeyValueHeads, nTokens, c.headDim]
  return [
    ...Array.from({ length: c.numHiddenLayers }, (_, l) => l).flatMap((l): Parameter[] => [
      { name: prefixName(l, 'k'), shape: prefix, part: 'prefix' },
      { name: prefixName(l, 'v'), shape: prefix, part: 'prefix' },
    ]),
    { name: 'model.aggregate_layer.0.weight', shape: [c.hiddenSize, n * c.hiddenSize], part: 'aggregation' },
    { name: 'model.aggregate_layer.0.bias', shape: [c.hiddenSize], part: 'aggregation' },
    { name: 'model.aggregate_layer.2.weight', shape: [n, c.hiddenSize], part: 'aggregation' },
    { name: 'model.aggregate_layer.2.bias', shape: [n], part: 'aggregation' },
  ]
}

export const prefixName = (layer: number, which: 'k' | 'v'): string => `model.layers.${layer}.self_attn.prefix_${which}`

export const elementCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
