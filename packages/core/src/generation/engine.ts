/**
 * Steps a set of rows. Sequences of different P and length open, step together in any mixture, fork and close between
 * steps; each owns P neighbouring rows of one cache. What to step and what to do with logits is decided elsewhere
 * (scheduler.ts, beam-search.ts).
 */
import type { Tensor } from 'onnxruntime-common'
import { type ParscaleError, runtimeError, usageError } from '../errors.ts'
import { RopeTable, writePrefix } from '../model/index.ts'
import { type BatchRow, batchFeeds } from './batch.ts'
import { KvCache } from './kv-cache.ts'
import type { Model, StreamSet } from './model.ts'
import { outputHeads } from './output-heads.ts'
import { Sequence, type StepResult, type Work } from './sequence.ts'

/** Tokens times rows that one prefill step takes: large enough for full products, small enough to stay responsive. */
export const rowTokensPerStep = 512

export class Engine {
  readonly model: Model
  readonly #cache: KvCache
  readonly #rope: RopeTable
  #sequences: Sequence[] = []
  #stepping = false
  #lastTurn: Promise<unknown> = Promise.resolve()

  constructor(model: Model) {
    this.model = model
    this.#cache = new KvCache(model.config, model.kv)
    this.#rope = new RopeTable(model.config)
  }

  get cacheMemoryBytes(): number {
    return this.#cache.memoryBytes
  }

  /**
   * Runs `work` when nobody else has the turn. Several users share an engine (a scheduler, a beam search, a scoring) by
   * taking turns: rows may not be opened, moved or closed under a running step. Not from within a turn: that would wait
   * for itself.
   */
  turn<T>(work: () => T | Promise<T>): Promise<T> {
    const mine = this.#lastTurn.then(work)
    this.#lastTurn = mine.catch(() => {})
    return mine
  }

  /** Frees the model's native memory once the turn under way is over; those after it fail. */
  dispose(): Promise<void> {
    return this.turn(() => this.model.dispose())
  }

  /**
   * An empty sequence with P streams.
   *
   * @param options.room tokens that are certain to come: room made at once need not grow in steps. Default 0
   * @throws usage error for a P that the model does not have
   */
  open(options: { p?: number; firstPosition?: number; room?: number } = {}): Sequence {
    this.#mustBeIdle()
    const p = options.p ?? this.model.defaultP
    const set = this.model.streamSet(p)
    const sequence = new Sequence(p, set?.config.parscale.nTokens ?? 0, options.firstPosition ?? 0)
    this.#place([sequence], options.room)
    this.#writePrefix(sequence, set)
    return sequence
  }

  /** Copies that go their own way from here on. */
  fork(source: Sequence, copies: number): Sequence[] {
    this.#mustBeIdle()
    this.#mustBeOpen(source)
    const forks = Array.from({ length: copies }, () => {
      const copy = new Sequence(source.p, source.prefix, source.firstPosition)
      copy.replaceIds(source.ids)
      return copy
    })
    this.#place(forks)
    const rows = this.#rowSources()
    for (const { row } of forks) {
      for (let stream = 0; stream < source.p; stream++) rows[row + stream] = source.row + stream
    }
    this.#cache.permute(rows, this.#usedPlaces())
    return forks
  }

  /** Makes `targets[i]` a copy of what `sources[i]` was, all at once (beam search). All must have the same P. */
  reorder(targets: readonly Sequence[], sources: readonly Sequence[]): void {
    this.#mustBeIdle()
    for (const sequence of [...targets, ...sources]) this.#mustBeOpen(sequence)
    if (targets.every((target, i) => target === sources[i])) return
    this.#moveInto(this.#sequences)
    const ids = sources.map((source) => [...source.ids])
    const rows = this.#rowSources()
    for (const [i, target] of targets.entries()) {
      for (let stream = 0; stream < target.p; stream++) rows[target.row + stream] = sources[i]!.row + stream
      target.replaceIds(ids[i]!)
    }
    this.#cache.permute(rows, this.#usedPlaces())
  }

  /** Forgets the tokens from index `length` on. */
  truncate(sequence: Sequence, length: number): void {
    this.#mustBeIdle()
    this.#mustBeOpen(sequence)
    sequence.ids.length = Math.min(length, sequence.length)
    sequence.failure = undefined
  }

  /** Gives its rows back; the cache's memory goes with the last sequence. Closing twice does nothing. */
  close(sequence: Sequence): void {
    this.#mustBeIdle()
    this.#sequences = this.#sequences.filter((other) => other !== sequence)
    sequence.row = -1
    if (this.#sequences.length === 0) this.#cache.clear()
  }

  /**
   * One step of all rows of the given sequences. Results in the order of the work, undefined where none was wanted.
   *
   * @throws usage error when a token is not in the vocabulary or the context is full; nothing has changed then
   */
  async step(work: readonly Work[]): Promise<(StepResult | undefined)[]> {
    this.#mustBeIdle()
    if (work.length === 0) return []
    this.#check(work)
    this.#stepping = true
    try {
      return await this.#step(work)
    } finally {
      this.#stepping = false
    }
  }

  /**
   * Runs a long prompt in chunks, each in a turn of its own, and gives the last token's result.
   *
   * @param options.signal checked between chunks
   */
  async prefill(
    sequence: Sequence,
    ids: readonly number[],
    options: { signal?: AbortSignal; onProgress?: (done: number) => void } = {},
  ): Promise<StepResult> {
    if (ids.length === 0) throw usageError('prefill: the prompt has no tokens; a model needs at least one to start from')
    const chunk = Math.max(1, Math.floor(rowTokensPerStep / sequence.p))
    for (let at = 0; ; at += chunk) {
      options.signal?.throwIfAborted()
      const last = at + chunk >= ids.length
      const work = { sequence, ids: ids.slice(at, at + chunk), want: last ? ('last' as const) : ('none' as const) }
      const [result] = await this.turn(() => this.step([work]))
      options.onProgress?.(Math.min(at + chunk, ids.length))
      if (last) return result!
    }
  }

  async #step(work: readonly Work[]): Promise<(StepResult | undefined)[]> {
    const { config } = this.model
    this.#arrange(work.map((w) => w.sequence))
    this.#cache.reserve(0, Math.max(...work.map((w) => w.sequence.places + w.ids.length)))
    const rows = work.flatMap(({ sequence, ids }) => this.#rowsOf(sequence, ids))
    const firstRow = work[0]!.sequence.row
    const tokens = Math.max(...work.map((w) => w.ids.length))
    const feeds = {
      ...batchFeeds(config, this.#rope, rows, this.#cache.capacity),
      ...this.#cache.feeds(firstRow, rows.length),
    }
    const adapters = rows.map((row) => row.adapter)
    const out = await this.model.backbone(feeds, adapters)
    const places = rows.map((row) => ({ at: row.prefix + row.length, count: row.ids.length }))
    const broken = this.#cache.write(firstRow, out, tokens, places)
    for (const { sequence, ids } of work) {
      if (Array.from({ length: sequence.p }, (_, stream) => sequence.row + stream).some((row) => broken.has(row)))
        sequence.failure = notFinite(sequence)
      else sequence.append(ids)
    }
    return await outputHeads(this.model, work, floats(out.hidden), tokens)
  }

  /** A step's rows of a sequence, which differ in what tells its streams apart. */
  #rowsOf(sequence: Sequence, ids: readonly number[]): (BatchRow & { adapter: number })[] {
    const { p, prefix, length, firstPosition } = sequence
    const set = this.model.streamSet(p)
    return Array.from({ length: p }, (_, stream) => ({
      ids,
      prefix,
      prefixScore: set?.prefixScores[stream] ?? 0,
      length,
      firstPosition,
      adapter: set && set.firstAdapter > 0 ? set.firstAdapter + stream : 0,
    }))
  }

  #check(work: readonly Work[]): void {
    const { maxPositionEmbeddings } = this.model.config
    for (const { sequence, ids } of work) {
      this.#mustBeOpen(sequence)
      if (sequence.failure) throw sequence.failure
      if (ids.length === 0) throw usageError('engine: a step needs at least one token per sequence')
      this.checkTokens(ids)
      const end = sequence.firstPosition + sequence.length + ids.length
      if (end > maxPositionEmbeddings) {
        throw usageError(
          `${end} tokens do not fit the model's context of ${maxPositionEmbeddings}; shorten the prompt or generate fewer tokens`,
        )
      }
    }
    if (new Set(work.map((w) => w.sequence)).size !== work.length) throw usageError('engine: a sequence stands twice in one step')
  }

  /** @throws usage error naming the first id that the model has no embedding for */
  checkTokens(ids: readonly number[]): void {
    const { vocabSize } = this.model.config
    const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
    if (bad !== undefined)
      throw usageError(`token id ${bad} is not in the vocabulary of ${vocabSize} tokens (0 to ${vocabSize - 1})`, { found: bad })
  }

  /** Rows must not move under a running step. */
  #mustBeIdle(): void {
    if (this.#stepping) throw runtimeError('engine: a step is under way; wait for it first')
  }

  #mustBeOpen(sequence: Sequence): void {
    if (sequence.row < 0) throw usageError('engine: the sequence is closed')
  }

  /** Gives new sequences the rows behind all others. */
  #place(sequences: readonly Sequence[], room = 0): void {
    this.#moveInto(this.#sequences)
    let row = this.#sequences.reduce((sum, s) => sum + s.p, 0)
    for (const sequence of sequences) {
      sequence.row = row
      row += sequence.p
      this.#sequences.push(sequence)
    }
    this.#cache.reserve(row, Math.max(1, ...sequences.map((s) => s.places + room)))
  }

  /** Makes the given sequences neighbours in this order; moves rows only when they are not. */
  #arrange(chosen: readonly Sequence[]): void {
    if (chosen.every((s, i) => i === 0 || s.row === chosen[i - 1]!.row + chosen[i - 1]!.p)) return
    this.#moveInto([...chosen, ...this.#sequences.filter((s) => !chosen.includes(s))])
  }

  /** Lays all rows out anew, without holes. */
  #moveInto(order: Sequence[]): void {
    const sources = order.flatMap((s) => Array.from({ length: s.p }, (_, stream) => s.row + stream))
    this.#sequences = order
    let row = 0
    for (const s of order) {
      s.row = row
      row += s.p
    }
    if (sources.some((source, i) => source !== i)) this.#cache.permute(sources, this.#usedPlaces())
  }

  #rowSources(): number[] {
    return this.#sequences.flatMap((s) => Array.from({ length: s.p }, (_, stream) => s.row + stream))
  }

  #usedPlaces(): number[] {
    return this.#sequences.flatMap((s) => Array(s.p).fill(s.places))
  }

  #writePrefix(sequence: Sequence, set: StreamSet | undefined): void {
    if (!set || set.prefixes.length === 0) return
    for (let stream = 0; stream < set.config.parscale.n; stream++) {
      writePrefix(set.config, set.prefixes, stream, this.#cache.row(sequence.row + stream))
    }
  }
}

const notFinite = ({ length }: Sequence): ParscaleError =>
  runtimeError(`the model's keys or values after token ${length} are NaN or infinite; check its weights`)

const floats = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array
