/**
 * Rows of a graph's cache. A graph steps neighbours of equal length, over one block of keys and values: here rows get their
 * slots in the block, are moved together before a step, and padded to the longest.
 */
import { Tensor } from 'onnxruntime-common'
import { type KvType, type ModelConfig, positionBytes, RopeTable } from '../model/index.ts'
import type { DecoderOutput, DecoderRow, RowCache } from '../runtime/index.ts'
import { batchFeeds } from './batch.ts'
import type { KvStore } from './kv-cache.ts'

export type RunBackbone = (
  feeds: Readonly<Record<string, Tensor>>,
  adapters: readonly number[],
) => Promise<Readonly<Record<string, Tensor>>>

/** Where a row lies in the block, and how many of its positions are in use. */
interface Slot {
  index: number
  used: number
}

export class GraphRowCache implements RowCache {
  readonly positionBytes: number
  readonly #config: ModelConfig
  readonly #run: RunBackbone
  readonly #cache: KvStore
  readonly #rope: RopeTable
  readonly #shared: boolean
  /** By row, in the order of the block. */
  #slots = new Map<number, Slot>()
  #nextRow = 0

  /**
   * @param store without rows, of the type `kv`
   * @param options.shared the backbone was built with `sharesKeys`
   */
  constructor(
    config: ModelConfig,
    kv: KvType,
    run: RunBackbone,
    store: KvStore,
    { shared = false }: { readonly shared?: boolean } = {},
  ) {
    this.#shared = shared
    this.#config = config
    this.positionBytes = positionBytes(config, kv)
    this.#run = run
    this.#cache = store
    this.#rope = new RopeTable(config)
  }

  get memoryBytes(): number {
    return this.#cache.memoryBytes
  }

  /** New rows stand behind all others. */
  openRows(count: number, positions: number): number[] {
    this.#order([...this.#slots.keys()])
    const rows = Array.from({ length: count }, () => this.#nextRow++)
    for (const row of rows) this.#slots.set(row, { index: this.#slots.size, used: 0 })
    this.#cache.reserve(this.#slots.size, Math.max(1, positions))
    return rows
  }

  /** Leaves holes, which go when rows are opened or moved. The memory goes with the last row. */
  closeRows(rows: readonly number[]): void {
    for (const row of rows) this.#slots.delete(row)
    if (this.#slots.size === 0) this.#cache.clear()
  }

  /** Frees the memory; the rows are gone. */
  clear(): void {
    this.#slots.clear()
    this.#cache.clear()
  }

  copyRows(targets: readonly number[], sources: readonly number[]): void {
    const order = [...this.#slots.keys()]
    this.#order(order)
    const copied = new Map(targets.map((target, i) => [target, sources[i]!]))
    const from = order.map((row) => this.#slots.get(copied.get(row) ?? row)!)
    this.#cache.permute(
      from.map(({ index }) => index),
      from.map(({ used }) => used),
    )
    const used = from.map((slot) => slot.used)
    for (const [i, row] of order.entries()) this.#slots.get(row)!.used = used[i]!
  }

  writePrefix(row: number, layer: number, key: Float32Array, value: Float32Array): void {
    const slot = this.#slots.get(row)!
    slot.used = key.length / (this.#config.numKeyValueHeads * this.#config.headDim)
    this.#cache.writeFirst(slot.index, layer, key, value)
  }

  async step(rows: readonly DecoderRow[]): Promise<DecoderOutput> {
    this.#makeNeighbours(rows.map(({ row }) => row))
    const positions = rows.map(({ prefix, length, ids }) => ({ at: prefix + length, count: ids.length }))
    this.#cache.reserve(0, Math.max(...positions.map(({ at, count }) => at + count)))
    const first = this.#slots.get(rows[0]!.row)!.index
    const feeds = {
      ...batchFeeds(this.#config, this.#rope, rows, this.#cache.capacity, { shared: this.#shared }),
      ...this.#cache.feeds(first, rows.length),
      ...(this.#shared && { shared_rows: sharedRows(rows) }),
    }
    const out = await this.#run(
      feeds,
      rows.map(({ adapter }) => adapter),
    )
    const tokens = Math.max(...rows.map(({ ids }) => ids.length))
    const broken = await this.#cache.write(first, out, tokens, positions)
    for (const [i, { at, count }] of positions.entries()) this.#slots.get(rows[i]!.row)!.used = at + count
    return {
      hidden: wantedStates(rows, out.hidden!.data as Float32Array, tokens, this.#config.hiddenSize),
      broken: new Set([...broken].map((index) => rows[index - first]!.row)),
    }
  }

  /** Moves rows only when they are not neighbours in this order, or not the first ones where they have to be. */
  #makeNeighbours(chosen: readonly number[]): void {
    const index = (row: number) => this.#slots.get(row)!.index
    const placed = !this.#cache.leading || index(chosen[0]!) === 0
    if (placed && chosen.every((row, i) => i === 0 || index(row) === index(chosen[i - 1]!) + 1)) return
    const set = new Set(chosen)
    this.#order([...chosen, ...[...this.#slots.keys()].filter((row) => !set.has(row))])
  }

  /** Lays all rows out anew, without holes. */
  #order(order: readonly number[]): void {
    const slots = order.map((row) => this.#slots.get(row)!)
    if (slots.some(({ index }, i) => index !== i)) {
      this.#cache.permute(
        slots.map(({ index }) => index),
        slots.map(({ used }) => used),
      )
    }
    this.#slots = new Map(order.map((row, i) => [row, { index: i, used: slots[i]!.used }]))
  }
}

/** Where in the step each row's shared one stands, int64 [R]. */
function sharedRows(rows: readonly DecoderRow[]): Tensor {
  const places = new Map(rows.map(({ row }, i) => [row, BigInt(i)]))
  return new Tensor(
    'int64',
    BigInt64Array.from(rows, ({ sharedRow }) => places.get(sharedRow)!),
    [rows.length],
  )
}

/** The last `wanted` of each row's tokens, out of [R, T, H]. */
function wantedStates(rows: readonly DecoderRow[], hidden: Float32Array, tokens: number, H: number): Float32Array {
  if (rows.every(({ wanted }) => wanted === tokens)) return hidden
  const states = new Float32Array(rows.reduce((sum, { wanted }) => sum + wanted, 0) * H)
  let at = 0
  for (const [r, { ids, wanted }] of rows.entries()) {
    const end = (r * tokens + ids.length) * H
    states.set(hidden.subarray(end - wanted * H, end), at)
    at += wanted * H
  }
  return states
}
