/**
 * Steps a set of rows. Sequences of different P and length open, step together in any mixture, fork and close between
 * steps; each owns P rows of one cache. What to step and what to do with logits is decided elsewhere
 * (scheduler.ts, beam-search.ts).
 */
import { type ParscaleError, runtimeError, usageError } from '../errors.ts'
import { writePrefix } from '../model/index.ts'
import type { DecoderRow, LogitsRoom, RowCache } from '../runtime/index.ts'
import type { Model, StreamSet } from './model.ts'
import { outputHeads, wantedTokens } from './output-heads.ts'
import { Sequence, type StepResult, type Work } from './sequence.ts'

/** Tokens times rows of a step: large enough for full products, small enough to stay responsive. */
export const rowTokensPerStep = 256

/** 64 MB of logits: with a vocabulary of 150,000 those of a whole step would take twice that. */
export const logitsPerStep = 2 ** 24

/** Steps rows of a loaded model: sequences open, step together, fork and close. */
export class Engine {
  readonly model: Model
  readonly #cache: RowCache
  readonly #room: LogitsRoom = {}
  #stepping = false
  /** Of those that have the turn or wait for it. */
  #turns = 0
  #lastTurn: Promise<unknown> = Promise.resolve()

  constructor(model: Model) {
    this.model = model
    this.#cache = model.decoder.openCache()
  }

  get cacheMemoryBytes(): number {
    return this.#cache.memoryBytes
  }

  /** Bytes of one position of one row. */
  get positionBytes(): number {
    return this.#cache.positionBytes
  }

  /**
   * Runs `work` when nobody else has the turn. Several users share an engine (a scheduler, a beam search, a scoring) by
   * taking turns: rows may not be opened, moved or closed under a running step. Not from within a turn: that would wait
   * for itself.
   */
  turn<T>(work: () => T | Promise<T>): Promise<T> {
    this.#turns++
    const mine = this.#lastTurn.then(work).finally(() => this.#turns--)
    this.#lastTurn = mine.catch(() => {})
    return mine
  }

  /** Whether somebody has the turn or waits for it. */
  get isTaken(): boolean {
    return this.#turns > 0
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
    this.#mustBeLoaded()
    const p = options.p ?? this.model.defaultP
    const set = this.model.streamSet(p)
    const sequence = new Sequence(p, set?.config.parscale.nTokens ?? 0, options.firstPosition ?? 0)
    sequence.rows = this.#cache.openRows(p, sequence.positions + (options.room ?? 0))
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
    const rows = this.#cache.openRows(copies * source.p, source.positions)
    for (const [i, copy] of forks.entries()) copy.rows = rows.slice(i * source.p, (i + 1) * source.p)
    this.#cache.copyRows(
      rows,
      forks.flatMap(() => source.rows),
    )
    return forks
  }

  /** Makes `targets[i]` a copy of what `sources[i]` was, all at once (beam search). All must have the same P. */
  reorder(targets: readonly Sequence[], sources: readonly Sequence[]): void {
    this.#mustBeIdle()
    for (const sequence of [...targets, ...sources]) this.#mustBeOpen(sequence)
    if (targets.every((target, i) => target === sources[i])) return
    const ids = sources.map((source) => [...source.ids])
    for (const [i, target] of targets.entries()) target.replaceIds(ids[i]!)
    this.#cache.copyRows(
      targets.flatMap(({ rows }) => rows),
      sources.flatMap(({ rows }) => rows),
    )
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
    if (sequence.rows.length > 0) this.#cache.closeRows(sequence.rows)
    sequence.rows = []
  }

  /**
   * One step of all rows of the given sequences. Results in the order of the work, undefined where none was wanted.
   *
   * @param options.reuse logits may stand where those of the last such step stood: for who has read these. Default false
   * @throws usage error when a token is not in the vocabulary or the context is full; nothing has changed then
   */
  async step(work: readonly Work[], { reuse = false } = {}): Promise<(StepResult | undefined)[]> {
    this.#mustBeIdle()
    this.#mustBeLoaded()
    if (work.length === 0) return []
    this.#check(work)
    this.#stepping = true
    try {
      return await this.#step(work, reuse ? this.#room : undefined)
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

  async #step(work: readonly Work[], room: LogitsRoom | undefined): Promise<(StepResult | undefined)[]> {
    const { hidden, broken } = await this.#cache.step(work.flatMap((one) => this.#rowsOf(one)))
    for (const { sequence, ids } of work) {
      if (sequence.rows.some((row) => broken.has(row))) sequence.failure = notFinite(sequence)
      else sequence.append(ids)
    }
    return await outputHeads(this.model, work, hidden, room)
  }

  /** A step's rows of a sequence, which differ in what tells its streams apart. */
  #rowsOf(work: Work): DecoderRow[] {
    const { rows, p, prefix, length, firstPosition } = work.sequence
    const set = this.model.streamSet(p)
    return rows.map((row, stream) => ({
      row,
      ids: work.ids,
      prefix,
      prefixScore: set?.prefixScores[stream] ?? 0,
      length,
      firstPosition,
      adapter: set && set.firstAdapter > 0 ? set.firstAdapter + stream : 0,
      sharedRow: rows[0]!,
      ownWindow: stream === 0 ? null : (set?.config.parscale.ownWindow ?? null),
      wanted: wantedTokens(work),
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
    const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize) // visits holes too
    if (bad < 0) return
    const range = `the vocabulary of ${vocabSize} tokens (0 to ${vocabSize - 1})`
    throw usageError(`token id ${ids[bad]} is not in ${range}`, { found: ids[bad] })
  }

  /** Rows must not move under a running step. */
  #mustBeIdle(): void {
    if (this.#stepping) throw runtimeError('engine: a step is under way; wait for it first')
  }

  #mustBeLoaded(): void {
    if (this.model.isDisposed) throw runtimeError('engine: the model is disposed of; load it again')
  }

  #mustBeOpen(sequence: Sequence): void {
    if (sequence.rows.length === 0) throw usageError('engine: the sequence is closed')
  }

  #writePrefix(sequence: Sequence, set: StreamSet | undefined): void {
    if (!set || set.prefixes.length === 0) return
    for (const [stream, row] of sequence.rows.entries()) {
      writePrefix(set.prefixes, stream, (layer, key, value) => this.#cache.writePrefix(row, layer, key, value))
    }
  }
}

const notFinite = ({ length }: Sequence): ParscaleError =>
  runtimeError(`the model's keys or values after token ${length} are NaN or infinite; check its weights`)
