/** From stored tensors to graph values: widened to float32, never copied. */
import type { DType, ExternalData, GraphBuilder, Value } from '../graph/index.ts'
import type { Weights } from './decoder.ts'

export interface StoredWeight {
  readonly dtype: DType
  readonly data: ExternalData
}

/** Finds a tensor of a checkpoint; throws, naming it, when there is none of that name and shape. */
export type FindWeight = (name: string, shape: readonly number[]) => StoredWeight

/**
 * Weights of `g` that lie in files. Each is read where it lies; a Cast to float32 follows where it is stored narrower,
 * which the engine folds at load.
 */
export function externalWeights(g: GraphBuilder, find: FindWeight): Weights {
  const stored = new Map<string, Value>()
  const widened = new Map<string, Value>()
  return (name, shape, as = 'float32') => {
    let value = stored.get(name)
    if (!value) {
      const { dtype, data } = find(name, shape)
      value = g.weight(name, dtype, shape, data)
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
