/**
 * The key/value cache in the memory of a device: blocks [rows, K, capacity, D] in float32, which sessions read where they lie and
 * nobody reads back. A step's keys and values come from the device and stay there.
 */
import type { Tensor } from 'onnxruntime-common'
import { type ModelConfig, positionBytes } from '../model/index.ts'
import type { DeviceBlock, DeviceMemory } from '../runtime/index.ts'
import { grownCapacity, type KvStore } from './kv-cache.ts'

/** Of a backbone: what is to stay on the device for this cache. */
export const keptOutputs = ({ numHiddenLayers }: ModelConfig): string[] =>
  Array.from({ length: numHiddenLayers }, (_, layer) => kinds.map((kind) => `present.${layer}.${kind}`)).flat()

const kinds = ['key', 'value'] as const

export class DeviceKvCache implements KvStore {
  /** A tensor on the device begins where its block does. */
  readonly leading = true
  readonly #config: ModelConfig
  readonly #memory: DeviceMemory
  /** Keys and values, layer after layer; none where there is no room. */
  #blocks: DeviceBlock[] = []
  #spare: DeviceBlock | undefined
  #rows = 0
  #capacity = 0

  constructor(config: ModelConfig, memory: DeviceMemory) {
    this.#config = config
    this.#memory = memory
  }

  get capacity(): number {
    return this.#capacity
  }

  get memoryBytes(): number {
    return this.#rows * this.#capacity * positionBytes(this.#config, 'f32')
  }

  reserve(rows: number, positions: number): void {
    if (rows <= this.#rows && positions <= this.#capacity) return
    const { numHiddenLayers, numKeyValueHeads: K, headDim: D } = this.#config
    const [oldRows, oldCapacity] = [this.#rows, this.#capacity]
    this.#spare?.free()
    this.#spare = undefined
    this.#rows = Math.max(rows, oldRows)
    if (positions > oldCapacity) this.#capacity = grownCapacity(positions, oldCapacity)
    const heads = Array.from({ length: oldRows * K }, (_, head) => head)
    this.#blocks = Array.from({ length: 2 * numHiddenLayers }, (_, i) => {
      const [from, to] = [this.#blocks[i], this.#allocate()]
      if (!from) return to
      const sizes = { count: oldCapacity * D, from, to }
      this.#memory.copy(heads.map((head) => ({ ...sizes, at: head * oldCapacity * D, place: head * this.#capacity * D })))
      from.free()
      return to
    })
  }

  clear(): void {
    for (const block of this.#blocks) block.free()
    this.#spare?.free()
    ;[this.#blocks, this.#spare, this.#rows, this.#capacity] = [[], undefined, 0, 0]
  }

  writeFirst(row: number, layer: number, key: Float32Array, value: Float32Array): void {
    const { numKeyValueHeads: K, headDim: D } = this.#config
    const size = key.length / K
    for (const [kind, values] of [key, value].entries())
      for (let head = 0; head < K; head++) {
        const at = (row * K + head) * this.#capacity * D
        this.#blocks[2 * layer + kind]!.write(at, values.subarray(head * size, (head + 1) * size))
      }
  }

  feeds(_firstRow: number, rows: number): Record<string, Tensor> {
    const { numKeyValueHeads, headDim } = this.#config
    const shape = [rows, numKeyValueHeads, this.#capacity, headDim]
    return Object.fromEntries(this.#blocks.map((block, i) => [`past.${i >> 1}.${kinds[i & 1]}`, block.tensor(shape)]))
  }

  async write(
    _firstRow: number,
    results: Readonly<Record<string, Tensor>>,
    _tokens: number,
    positions: readonly { at: number; count: number }[],
  ): Promise<Set<number>> {
    const present = this.#blocks.map((to, i) => ({ from: results[`present.${i >> 1}.${kinds[i & 1]}`]!, to }))
    try {
      return await this.#memory.append(present, this.#capacity, positions)
    } finally {
      for (const { from } of present) from.dispose()
    }
  }

  permute(sources: readonly number[]): void {
    const { numKeyValueHeads: K, headDim: D } = this.#config
    const count = K * this.#capacity * D
    this.#blocks = this.#blocks.map((from) => {
      const to = this.#spare ?? this.#allocate()
      this.#memory.copy(sources.map((source, row) => ({ from, at: source * count, to, place: row * count, count })))
      this.#spare = from
      return to
    })
  }

  #allocate(): DeviceBlock {
    const { numKeyValueHeads, headDim } = this.#config
    return this.#memory.allocate(this.#rows * numKeyValueHeads * this.#capacity * headDim)
  }
}
