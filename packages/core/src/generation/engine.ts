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

/** Tokens times rows that one prefill step takes: large enough for full products, small enough to stay responsive. */
export const rowTokensPerStep = 512

/** A sequence in the cache. Made by `Engine.open`; everything here is for reading. */
export class Sequence {
  readonly p: number
  /** Position of the first token. */
  readonly firstPosition: number
  /** Token ids whose keys and values the cache holds. */
  readonly ids: number[] = []
  readonly prefix: number
  /** First of the P rows; negative once closed. */
  row = -1
  /** Set when the model's numbers were not finite: the step's tokens were not taken in. Only `truncate` or `close` help. */
  failure: ParscaleError | undefined

  constructor(p: number, prefix: number, firstPosition: number) {
    this.p = p
    this.prefix = prefix
    this.firstPosition = firstPosition
  }

  get length(): number {
    return this.ids.length
  }

  /** Places of the cache in use by each row. */
  get places(): number {
    return this.prefix + this.length
  }
}

export interface Work {
  readonly sequence: Sequence
  /** New tokens, at least one. */
  readonly ids: readonly number[]
  /** Which tokens' results are wanted. */
  readonly want: 'none' | 'last' | 'all'
}

/** Of the n wanted tokens of one piece of work; views, valid until the next step. */
export interface StepResult {
  /** [n, vocabulary] */
  readonly logits: Float32Array
  /** What the output head read: [n, hidden]. */
  readonly hidden: Float32Array
  /** [n, P, hidden], after the final norm. */
  readonly streams: Float32Array
  /** [n, P]; ones for P = 1. */
  readonly streamWeights: Float32Array
}

export class Engine {
  readonly model: Model
  readonly #cache: KvCache
  readonly #rope: RopeTable
  #sequences: Sequence[] = []
  #stepping = false
  #lastTurn: Promise<unknown> = Promise.resolve()

  constructor(model: Model) {
    this.model = model
    this.#cache = new KvCache(model.config)
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
      copy.ids.push(...source.ids)
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
      target.ids.splice(0, target.ids.length, ...ids[i]!)
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
    const rows = work.flatMap(({ sequence, ids }): BatchRow[] =>
      Array(sequence.p).fill({ ...sequence, ids, length: sequence.length }),
    )
    const firstRow = work[0]!.sequence.row
    const tokens = Math.max(...work.map((w) => w.ids.length))
    const feeds = batchFeeds(config, this.#rope, rows, this.#cache.capacity)
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const { key, value } = this.#cache.view(layer, firstRow, rows.length)
      feeds[`past.${layer}.key`] = key
      feeds[`past.${layer}.value`] = value
    }
    const out = await this.model.backbone(feeds)
    const places = rows.map((row) => ({ at: row.prefix + row.length, count: row.ids.length }))
    const broken = new Set<number>()
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const present = { key: floats(out[`present.${layer}.key`]), value: floats(out[`present.${layer}.value`]) }
      for (const row of this.#cache.write(layer, firstRow, present, tokens, places)) broken.add(firstRow + row)
    }
    for (const { sequence, ids } of work) {
      if (Array.from({ length: sequence.p }, (_, stream) => sequence.row + stream).some((row) => broken.has(row)))
        sequence.failure = notFinite(sequence)
      else for (const id of ids) sequence.ids.push(id)
    }
    return this.#heads(work, floats(out.hidden), tokens)
  }

  /** Aggregation per stream set, then the output embedding once for all. `hidden` [R, T, H]. */
  async #heads(work: readonly Work[], hidden: Float32Array, tokens: number): Promise<(StepResult | undefined)[]> {
    const { hiddenSize: H, vocabSize } = this.model.config
    const firstRow = work[0]!.sequence.row
    const wanted = work.map(({ want, ids }) => (want === 'all' ? ids.map((_, t) => t) : want === 'last' ? [ids.length - 1] : []))
    const total = wanted.reduce((sum, list) => sum + list.length, 0)
    if (total === 0) return work.map(() => undefined)

    const joined = new Float32Array(total * H)
    const parts: { streams: Float32Array; weights: Float32Array; at: number }[] = []
    let at = 0
    for (const [i, { sequence }] of work.entries()) {
      const { p, row } = sequence
      const streams = new Float32Array(wanted[i]!.length * p * H)
      for (const [n, t] of wanted[i]!.entries()) {
        for (let stream = 0; stream < p; stream++) {
          const from = ((row - firstRow + stream) * tokens + t) * H
          streams.set(hidden.subarray(from, from + H), (n * p + stream) * H)
        }
      }
      parts.push({ streams, weights: new Float32Array(wanted[i]!.length).fill(1), at })
      if (p === 1) joined.set(streams, at * H)
      at += wanted[i]!.length
    }
    for (const [set, members] of this.#byStreamSet(work))
      await this.#aggregate(
        set,
        members.map((i) => parts[i]!),
        joined,
      )

    const logits = await this.model.logits(joined)
    return parts.map(({ streams, weights, at }, i) => {
      const n = wanted[i]!.length
      if (n === 0) return undefined
      return {
        logits: logits.subarray(at * vocabSize, (at + n) * vocabSize),
        hidden: joined.subarray(at * H, (at + n) * H),
        streams,
        streamWeights: weights,
      }
    })
  }

  /** One product for all sequences that share a stream set. */
  async #aggregate(
    set: StreamSet,
    parts: { streams: Float32Array; weights: Float32Array; at: number }[],
    joined: Float32Array,
  ): Promise<void> {
    const { hiddenSize: H, parscale } = set.config
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.streams.length, 0))
    let offset = 0
    for (const part of parts) {
      all.set(part.streams, offset)
      offset += part.streams.length
    }
    if (all.length === 0) return
    const out = await this.model.aggregate(set, all)
    let token = 0
    for (const part of parts) {
      const n = part.streams.length / (parscale.n * H)
      joined.set(out.hidden.subarray(token * H, (token + n) * H), part.at * H)
      part.weights = out.weights.subarray(token * parscale.n, (token + n) * parscale.n)
      token += n
    }
  }

  #byStreamSet(work: readonly Work[]): Map<StreamSet, number[]> {
    const groups = new Map<StreamSet, number[]>()
    for (const [i, { sequence }] of work.entries()) {
      const set = this.model.streamSet(sequence.p)
      if (set) groups.set(set, [...(groups.get(set) ?? []), i])
    }
    return groups
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
    if (!set) return
    for (let stream = 0; stream < set.config.parscale.n; stream++) {
      writePrefix(set.config, set.prefixes, stream, this.#cache.row(sequence.row + stream))
    }
  }
}

const notFinite = ({ length }: Sequence): ParscaleError =>
  runtimeError(`the model's keys or values after token ${length} are NaN or infinite; check its weights`)

const floats = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array
