/**
 * The key/value cache: one fixed-capacity block per layer, [rows, K, capacity, D], owned by TypeScript and read by the
 * engine where it lies. A step writes only the new tokens; nothing is copied but when the block grows or rows move.
 */
import { Tensor } from 'onnxruntime-common'
import type { CacheRow, ModelConfig } from '../model/index.ts'

interface LayerCache {
  key: Float32Array
  value: Float32Array
}

/** Grows by an eighth at least, in steps of 64: total copying stays a small multiple of the final size. */
const grownCapacity = (needed: number, present: number): number => Math.ceil(Math.max(needed, present * 1.125) / 64) * 64

export class KvCache {
  readonly #heads: number
  readonly #headDim: number
  readonly #layers: LayerCache[]
  #rows = 0
  #capacity = 0
  /** Spare block of the size of one layer's, so that moving rows allocates nothing. */
  #spare: Float32Array | undefined

  constructor(config: ModelConfig) {
    this.#heads = config.numKeyValueHeads
    this.#headDim = config.headDim
    this.#layers = Array.from({ length: config.numHiddenLayers }, () => ({
      key: new Float32Array(0),
      value: new Float32Array(0),
    }))
  }

  /** Places per row. */
  get capacity(): number {
    return this.#capacity
  }

  get memoryBytes(): number {
    return this.#layers.length * 2 * this.#blockSize() * 4
  }

  /** Makes room for so many rows and places; keeps what is there. */
  reserve(rows: number, places: number): void {
    if (rows <= this.#rows && places <= this.#capacity) return
    const newRows = Math.max(rows, this.#rows)
    const newCapacity = places <= this.#capacity ? this.#capacity : grownCapacity(places, this.#capacity)
    const [oldHead, newHead] = [this.#capacity * this.#headDim, newCapacity * this.#headDim]
    const grow = (old: Float32Array): Float32Array => {
      const block = new Float32Array(newRows * this.#heads * newHead)
      for (let head = 0; head < this.#rows * this.#heads; head++) {
        block.set(old.subarray(head * oldHead, (head + 1) * oldHead), head * newHead)
      }
      return block
    }
    for (const layer of this.#layers) {
      layer.key = grow(layer.key)
      layer.value = grow(layer.value)
    }
    ;[this.#rows, this.#capacity, this.#spare] = [newRows, newCapacity, undefined]
  }

  /** Forgets everything and frees the memory. */
  clear(): void {
    for (const layer of this.#layers) [layer.key, layer.value] = [new Float32Array(0), new Float32Array(0)]
    ;[this.#rows, this.#capacity, this.#spare] = [0, 0, undefined]
  }

  /** The memory of one row, head by head. */
  row(row: number): CacheRow {
    const of = (block: Float32Array, head: number) => {
      const size = this.#capacity * this.#headDim
      const from = (row * this.#heads + head) * size
      return block.subarray(from, from + size)
    }
    return {
      key: (layer, head) => of(this.#layers[layer]!.key, head),
      value: (layer, head) => of(this.#layers[layer]!.value, head),
    }
  }

  /** A layer's keys and values of neighbouring rows, as tensors over the cache's own memory. */
  view(layer: number, firstRow: number, rows: number): { key: Tensor; value: Tensor } {
    const size = this.#heads * this.#capacity * this.#headDim
    const shape = [rows, this.#heads, this.#capacity, this.#headDim]
    const tensor = (block: Float32Array) =>
      new Tensor('float32', block.subarray(firstRow * size, (firstRow + rows) * size), shape)
    const { key, value } = this.#layers[layer]!
    return { key: tensor(key), value: tensor(value) }
  }

  /**
   * Writes a step's new keys and values of a layer, [rows, K, T, D], behind what each row holds.
   *
   * What is not finite is left out, so that the cache always is: hidden places weigh 0, and 0 times NaN would be NaN, for
   * whoever has the row next.
   *
   * @param places per row: the first place to write and how many of the T tokens are real
   * @returns rows, counted from `firstRow`, that something was left out of
   */
  write(
    layer: number,
    firstRow: number,
    present: { key: Float32Array; value: Float32Array },
    tokens: number,
    places: readonly { at: number; count: number }[],
  ): Set<number> {
    const D = this.#headDim
    const target = this.#layers[layer]!
    const broken = new Set<number>()
    for (const [i, { at, count }] of places.entries()) {
      for (let head = 0; head < this.#heads; head++) {
        const from = (i * this.#heads + head) * tokens * D
        const to = (((firstRow + i) * this.#heads + head) * this.#capacity + at) * D
        const key = present.key.subarray(from, from + count * D)
        const value = present.value.subarray(from, from + count * D)
        if (allFinite(key) && allFinite(value)) {
          target.key.set(key, to)
          target.value.set(value, to)
        } else broken.add(i)
      }
    }
    return broken
  }

  /** Reorders rows: row i becomes a copy of what row `sources[i]` was. `used[i]` places of it count. */
  permute(sources: readonly number[], used: readonly number[]): void {
    const headSize = this.#capacity * this.#headDim
    const move = (block: Float32Array): Float32Array => {
      const target = this.#spare ?? new Float32Array(block.length)
      for (const [row, source] of sources.entries()) {
        for (let head = 0; head < this.#heads; head++) {
          const from = (source * this.#heads + head) * headSize
          target.set(block.subarray(from, from + used[row]! * this.#headDim), (row * this.#heads + head) * headSize)
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

  #blockSize(): number {
    return this.#rows * this.#heads * this.#capacity * this.#headDim
  }
}

function allFinite(values: Float32Array): boolean {
  let zero = 0 // 0 * x is NaN for what is not finite
  for (let i = 0; i < values.length; i++) zero += 0 * values[i]!
  return zero === 0
}
