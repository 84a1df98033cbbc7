/**
 * Every tensor that a model of a given configuration has: name, shape and what part of the model it is.
 * Names and layouts are those of the released checkpoints; for choices that those do not have, our own. Loading checks against this list, counting adds it up.
 */
import type { ModelConfig } from './config.ts'
import { type LayerTensor, layerByRole, layerTensors, linearRoles, type Part } from './layer-tensors.ts'

export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly part: Part
}

/** The backbone: everything that does not depend on P. `tied`: the output matrix is the embedding. */
export function backboneParameters(c: ModelConfig, tied: boolean): Parameter[] {
  const layers = Array.from({ length: c.numHiddenLayers }, (_, layer) => layer)
  return [
    { name: 'model.embed_tokens.weight', shape: [c.vocabSize, c.hiddenSize], part: 'embedding' },
    ...layers.flatMap((layer) => storedTensors(layerTensors(c, layer))),
    { name: 'model.norm.weight', shape: [c.hiddenSize], part: 'norm' },
    ...(tied ? [] : [{ name: 'lm_head.weight', shape: [c.vocabSize, c.hiddenSize], part: 'output' } as const]),
  ]
}

/** Each tensor of the checkpoint once: several entries may be rows of one. */
const storedTensors = (tensors: readonly LayerTensor[]): Parameter[] =>
  tensors.filter(({ row }) => row === 0).map(({ stored: { name, shape }, part }) => ({ name, shape, part }))

/** The linear layers of one decoder layer, as adapters see them. `name`: the weight's without `.weight`. */
export function linearLayers(c: ModelConfig, layer: number): { name: string; out: number; inner: number }[] {
  const tensors = layerByRole(c, layer)
  return linearRoles.map((role) => {
    const { layer: name, shape } = tensors.get(role)!
    return { name, out: shape[0]!, inner: shape[1]! }
  })
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
