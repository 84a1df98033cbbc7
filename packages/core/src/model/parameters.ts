/**
 * Every tensor that a model of a given configuration has: name, shape and what part of the model it is.
 * Names and layouts are those of the released checkpoints; for choices that those do not have, our own. Loading checks against this list, counting adds it up.
 */
import type { ModelConfig } from './config.ts'
import { type LayerTensor, layerTensors, type Parameter } from './layer-tensors.ts'
import { inputParameters } from './streams.ts'

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

/** What streams add: what tells them apart (streams.ts), and the aggregator. Empty for a plain model. */
export const streamParameters = (c: ModelConfig): Parameter[] => [...inputParameters(c), ...aggregationParameters(c)]

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

export const elementCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
