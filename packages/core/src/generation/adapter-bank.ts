/**
 * The adapters of all stream sets of a model in one place, so that rows of any of them share a step: one tensor per name,
 * whose first axis counts adapters. Number 0 is all zeros, for rows without one (the plain model's, and a prefix's).
 */
import { Tensor } from 'onnxruntime-common'
import { elementCount, type ModelConfig, streamParameters } from '../model/index.ts'

export interface AdapterSet {
  readonly config: ModelConfig
  /** lora and bitfit tensors by name, as stored: the stream is their first axis. */
  readonly adapters: ReadonlyMap<string, Float32Array>
}

export interface AdapterBank {
  /** By name, [adapters, ...]. Empty where no set has any. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** The number of stream 0 of each set, in their order; the set's other streams follow. 0 for sets without adapters. */
  readonly first: readonly number[]
}

/** Low ranks are filled up to the highest with zeros, which add nothing. */
export function adapterBank(sets: readonly AdapterSet[]): AdapterBank {
  let count = 1
  const first = sets.map(({ config, adapters }) => {
    if (adapters.size === 0) return 0
    count += config.parscale.n
    return count - config.parscale.n
  })
  const rank = Math.max(0, ...sets.map(({ config }) => config.parscale.loraRank))
  const tensors = new Map<string, Tensor>()
  for (const [i, { config, adapters }] of sets.entries()) {
    for (const { name, shape } of streamParameters(config)) {
      const stored = adapters.get(name)
      if (!stored) continue
      const [P, rows, columns] = shape as [number, number, number]
      const [bankRows, bankColumns] = [name.endsWith('.lora_A') ? rank : rows, name.endsWith('.lora_B') ? rank : columns]
      const bankShape = [count, bankRows, bankColumns]
      const tensor = tensors.get(name) ?? new Tensor('float32', new Float32Array(elementCount(bankShape)), bankShape)
      tensors.set(name, tensor)
      const data = tensor.data as Float32Array
      for (let p = 0; p < P; p++) {
        for (let row = 0; row < rows; row++) {
          const from = (p * rows + row) * columns
          data.set(stored.subarray(from, from + columns), ((first[i]! + p) * bankRows + row) * bankColumns)
        }
      }
    }
  }
  return { tensors, first }
}
