/**
 * The adapters of all stream sets of a model in one place, so that rows of any of them share a step: one tensor per name,
 * whose first axis counts adapters. Number 0 changes nothing, for rows without one (the plain model's, and a prefix's).
 */
import { elementCount, type ModelConfig, neutralValue, streamParameters } from '../model/index.ts'

export interface AdapterSet {
  readonly config: ModelConfig
  /** By name, as stored: the stream is their first axis. */
  readonly adapters: ReadonlyMap<string, Float32Array>
}

/** A tensor of all adapters. */
export interface AdapterTensor {
  /** [adapters, ...] */
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** The number of stream 0's adapter of each set, in their order; the set's other streams follow. 0 for sets without adapters. */
export function firstAdapters(sets: readonly AdapterSet[]): number[] {
  let count = 1
  return sets.map(({ config, adapters }) => {
    if (adapters.size === 0) return 0
    count += config.parscale.n
    return count - config.parscale.n
  })
}

/**
 * By name, [adapters, ...]; empty where no set has any. What a set does not have is filled up with values that change nothing, and so
 * are low ranks up to the highest.
 */
export function adapterBank(sets: readonly AdapterSet[]): ReadonlyMap<string, AdapterTensor> {
  const first = firstAdapters(sets)
  const count = sets.reduce((sum, { config, adapters }) => sum + (adapters.size === 0 ? 0 : config.parscale.n), 1)
  const rank = Math.max(0, ...sets.map(({ config }) => config.parscale.loraRank))
  const tensors = new Map<string, AdapterTensor>()
  for (const [i, { config, adapters }] of sets.entries()) {
    for (const { name, shape } of streamParameters(config)) {
      const stored = adapters.get(name)
      if (!stored) continue
      const [P, rows, columns] = shape as [number, number, number]
      const [bankRows, bankColumns] = [name.endsWith('.lora_A') ? rank : rows, name.endsWith('.lora_B') ? rank : columns]
      const bankShape = [count, bankRows, bankColumns]
      const values = tensors.get(name)?.values ?? new Float32Array(elementCount(bankShape)).fill(neutralValue(name))
      tensors.set(name, { shape: bankShape, values })
      for (let p = 0; p < P; p++) {
        for (let row = 0; row < rows; row++) {
          const from = (p * rows + row) * columns
          values.set(stored.subarray(from, from + columns), ((first[i]! + p) * bankRows + row) * bankColumns)
        }
      }
    }
  }
  return tensors
}
