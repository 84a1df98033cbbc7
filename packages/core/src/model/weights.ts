/** From stored tensors to graph values: checked against what the model needs, widened to float32, never copied. */
import { checkpointError } from '../errors.ts'
import type { DType, ExternalData, GraphBuilder, Value } from '../graph/index.ts'
import type { Weights } from './decoder.ts'

export interface StoredWeight {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: ExternalData
}

/** Finds a tensor of a checkpoint by name. */
export type FindWeight = (name: string) => StoredWeight | undefined

/**
 * Weights of `g` that lie in files. Each is read where it lies; a Cast to float32 follows where it is stored narrower,
 * which the engine folds at load.
 *
 * @param file names the checkpoint in errors
 */
export function externalWeights(g: GraphBuilder, find: FindWeight, file: string): Weights {
  const stored = new Map<string, Value>()
  const widened = new Map<string, Value>()
  return (name, shape, as = 'float32') => {
    let value = stored.get(name)
    if (!value) {
      const weight = find(name)
      if (!weight) throw checkpointError(`${file}: tensor ${name} is missing; config.json asks for it with shape [${shape}]`, { file, tensor: name })
      if (weight.shape.join() !== shape.join()) {
        throw checkpointError(`${file}: tensor ${name} has shape [${weight.shape}], config.json asks for [${shape}]`, {
          file,
          tensor: name,
          expected: shape,
          found: weight.shape,
        })
      }
      value = g.weight(name, weight.dtype, weight.shape as number[], weight.data)
      stored.set(name, value)
    }
    if (as === 'stored') return value
    let wide = widened.get(name)
    if (!wide) {
      wide = g.cast(value, 'float32')
      widened.set(name, wide)
    }
    return wide
  }
}
