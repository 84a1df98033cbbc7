/**
 * The key/value cache: blocks [rows, K, capacity, D] of fixed capacity per layer, owned by TypeScript, in the engine's memory if it
 * has any of its own, and read by the engine where they lie. A step writes only the new tokens; nothing is copied but when blocks grow or rows move.
 */
import type { Tensor } from 'onnxruntime-common'
import type { KvType, ModelConfig } from '../model/index.ts'
import type { TensorMemory } from '../runtime/index.ts'
import { KvBlock, kvBlockBytes } from './kv-block.ts'

/** Keys and values of rows, wherever they lie. */
export interface KvStore {
  /** The rows of a step have to be the first ones. */
  readonly leading: boolean
  /** Positions per row. */
  readonly capacity: number
  readonly memoryBytes: number
  /** Makes room for so many rows and positions; keeps what is there. */
  reserve(rows: number, positions: number): void
  /** Forgets everything and frees the memory. */
  clear(): void
  /** Writes keys and values [K, n, D] of a layer into a row's first n positions. */
  writeFirst(row: number, layer: number, key: Float32Array, value: Float32Array): void
  /** The backbone's inputs `past.L.key`, `past.L.value` (model/graphs.ts): all layers of neighbouring rows. */
  feeds(firstRow: number, rows: number): Record<string, Tensor>
  /**
   * Writes a step's new keys and values, `present.L.key` and `present.L.value` [rows, K, T, D] of `results`, behind what each row
   * holds.
   *
   * What is not finite is left out, so that the cache always is: hidden positions weigh 0, and 0 times NaN would be NaN, for
   * whoever has the row next.
   *
   * @param positions per row: the first position to write and how many of the T tokens are real
   * @returns rows that something was left out of
   */
  write(
    firstRow: number,
    results: Readonly<Record<string, Tensor>>,
    tokens: number,
    positions: readonly { at: number; count: number }[],
  ): Set<number> | Promise<Set<number>>
  /** Reorders rows: row i becomes a copy of what row `sources[i]` was. `used[i]` positions of it count. */
  permute(sources: readonly number[], used: readonly number[]): void
}

interface LayerCache {
  key: KvBlock
  value: KvBlock
}

/**
 * Grows by an eighth at least, in steps of 64: total copying stays a small multiple of the final size, and a step, which reads all
 * positions there are, takes little longer than for the tokens alone.
 */
export const grownCapacity = (needed: number, present: number): number => Math.ceil(Math.max(needed, present * 1.125) / 64) * 64

export class KvCache implements KvStore {
  readonly leading = false
  readonly type: KvType
  readonly #heads: number
  readonly #headDim: number
  readonly #layers: LayerCache[]
  readonly #memory: TensorMemory | undefined
  #rows = 0
  #capacity = 0
  /** Spare block of the size of one layer's, so that moving rows allocates nothing. */
  #spare: KvBlock | undefined

  constructor(config: ModelConfig, type: KvType, memory?: TensorMemory) {
    this.type = type
    this.#heads = config.numKeyValueHeads
    this.#headDim = config.headDim
    this.#memory = memory
    this.#layers = Array.from({ length: config.numHiddenLayers }, () => ({ key: this.#block(0), value: this.#block(0) }))
  }

  get capacity(): number {
    return this.#capacity
  }

  get memoryBytes(): number {
    return this.#layers.length * 2 * kvBlockBytes(this.type, this.#headDim, this.#rows * this.#heads * this.#capacity)
  }

  reserve(rows: number, positions: number): void {
    if (rows <= this.#rows && positions <= this.#capacity) return
    const newRows = Math.max(rows, this.#rows)
    const newCapacity = positions <= this.#capacity ? this.#capacity : grownCapacity(positions, this.#capacity)
    const grow = (old: KvBlock): KvBlock => {
      const block = this.#block(newRows * this.#heads * newCapacity)
      for (let head = 0; head < this.#rows * this.#heads; head++)
        block.copy(head * newCapacity, old, head * this.#capacity, this.#capacity)
      old.free()
      return block
    }
    this.#spare?.free()
    for (const layer of this.#layers) {
      layer.key = grow(layer.key)
      layer.value = grow(layer.value)
    }
    ;[this.#rows, this.#capacity, this.#spare] = [newRows, newCapacity, undefined]
  }

  clear(): void {
    this.#spare?.free()
    for (const layer of this.#layers) {
      layer.key.free()
      layer.value.free()
      ;[layer.key, layer.value] = [this.#block(0), this.#block(0)]
    }
    ;[this.#rows, this.#capacity, this.#spare] = [0, 0, undefined]
  }

  writeFirst(row: number, layer: number, key: Float32Array, value: Float32Array): void {
    const size = key.length / this.#heads
    const { key: keys, value: values } = this.#layers[layer]!
    for (let head = 0; head < this.#heads; head++) {
      const at = (row * this.#heads + head) * this.#capacity
      keys.write(at, key.subarray(head * size, (head + 1) * size))
      values.write(at, value.subarray(head * size, (head + 1) * size))
    }
  }

  feeds(firstRow: number, rows: number): Record<string, Tensor> {
    const first = firstRow * this.#heads * this.#capacity
    const shape = [rows, this.#heads, this.#capacity]
    const all: Record<string, Tensor> = {}
    for (const [layer, { key, value }] of this.#layers.entries())
      Object.assign(all, key.feeds(`past.${layer}.key`, first, shape), value.feeds(`past.${layer}.value`, first, shape))
    return all
  }

  write(
    firstRow: number,
    results: Readonly<Record<string, Tensor>>,
    tokens: number,
    positions: readonly { at: number; count: number }[],
  ): Set<number> {
    const broken = new Set<number>()
    for (const [layer, target] of this.#layers.entries()) {
      const present = (name: string) => KvBlock.from(this.type, this.#headDim, results, `present.${layer}.${name}`)
      const [key, value] = [present('key'), present('value')]
      for (const [i, { at, count }] of positions.entries()) {
        for (let head = 0; head < this.#heads; head++) {
          const from = (i * this.#heads + head) * tokens
          const to = ((firstRow + i) * this.#heads + head) * this.#capacity + at
          if (key.isFinite(from, count) && value.isFinite(from, count)) {
            target.key.copy(to, key, from, count)
            target.value.copy(to, value, from, count)
          } else broken.add(firstRow + i)
        }
      }
    }
    return broken
  }

  permute(sources: readonly number[], used: readonly number[]): void {
    const move = (block: KvBlock): KvBlock => {
      const target = this.#spare ?? this.#block(this.#rows * this.#heads * this.#capacity)
      for (const [row, source] of sources.entries()) {
        for (let head = 0; head < this.#heads; head++) {
          const from = (source * this.#heads + head) * this.#capacity
          target.copy((row * this.#heads + head) * this.#capacity, block, from, used[row]!)
        }
      }
      this.#spare = block
      return target
    }
    for (const layer of this.#layers) {
      layer.key = move(layer.key)
      layer.value = move(layer.value)
    }
  }

  #block(entries: number): KvBlock {
    return KvBlock.empty(this.type, this.#headDim, entries, this.#memory)
  }
}
