/**
 * Runs many requests on one engine. There is one kind of work: ids still to compute. A prompt has many, a request that generates
 * has the token drawn last; all share each step, under one budget of row-tokens. Requests join and leave between steps. What several
 * prompts begin with is computed once.
 * What goes wrong with one (a bad token, NaN logits, a callback that throws) ends that request only.
 */
import { usageError } from '../errors.ts'
import { anySignal } from '../signals.ts'
import { type Engine, logitsPerStep, rowTokensPerStep } from './engine.ts'
import { commonPrefix, PrefixCache } from './prefix-cache.ts'
import { PromptPace } from './prompt-pace.ts'
import {
  ActiveRequest,
  checkRequest,
  checkWithoutStreams,
  type Finished,
  firstWanted,
  type PromptCache,
  type TokenRequest,
} from './request.ts'
import type { StepResult } from './sequence.ts'
import { findSource, type Source, takeOver, waitsNoLonger } from './sharing.ts'
import { planStep, type StepLimits } from './step-plan.ts'

/** What is let in; the rest waits in the order of its coming, owners in turn. A request that alone is over a limit runs alone. */
export interface SchedulerOptions {
  /** Rows (streams of all requests) that run at the same time. Default: no limit. */
  readonly maxRows?: number
  /**
   * Row-tokens that those which run may come to hold in the cache: P (prompt + maxTokens) of each, and where the decoder pads,
   * as many as the longest for every row. Default: no limit.
   */
  readonly maxCachedTokens?: number
  /** The same in bytes. Default: no limit. */
  readonly maxCacheBytes?: number
  /**
   * Keys and values of finished requests that are kept for those that begin alike, in bytes. Default: 0. Beside what those that run
   * take.
   */
  readonly keptBytes?: number
  /** Row-tokens of prompts in a step in which others generate, so that these need not wait for it: at most. Default: as many as fit. */
  readonly promptTokensBeside?: number
  /**
   * How many times as long a step may take for the prompts beside those that generate, more than 1: their number is learnt from the
   * time that steps take. Default: no limit.
   */
  readonly promptSlowdown?: number
}

/** Since the scheduler was made, where nothing else is said. */
export interface SchedulerCounters {
  /** Requests now. */
  readonly running: number
  readonly waiting: number
  /** Rows of those that run. */
  readonly rows: number
  readonly steps: number
  /** Ids computed, times the rows of their sequence. */
  readonly rowTokens: number
  /** Tokens of prompts taken in, and of these, tokens that a cache held, so that they were not computed. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly generatedTokens: number
  /** Milliseconds in which a step ran, and from the end of one to the begin of the next where there was one to run: nothing is computed then. */
  readonly stepMs: number
  readonly betweenMs: number
  /** Of the engine's keys and values now, other users of the engine included. */
  readonly cacheBytes: number
  /** Of these, at most so many are of finished requests. */
  readonly keptBytes: number
}

interface Submitted {
  readonly request: TokenRequest
  /** Those of one owner have one each, so that many of them let others pass. */
  readonly turn: number
  readonly finish: (finished: Finished) => void
  readonly fail: (error: unknown) => void
}

type Running = ActiveRequest & {
  readonly submitted: Submitted
  source: Source<Running> | undefined
}

/** Runs many requests on one engine. They join and leave between steps and share each step. */
export class Scheduler {
  readonly engine: Engine
  readonly #maxRows: number
  readonly #maxCachedTokens: number
  readonly #limits: Omit<StepLimits, 'promptTokensBeside'>
  readonly #pace: PromptPace
  readonly #kept: PrefixCache
  #active: Running[] = []
  /** By `turn`. */
  #waiting: Submitted[] = []
  /** Turn of the request let in last, and of each owner's last one. */
  #turn = 0
  readonly #turns = new WeakMap<object, number>()
  /** What waits for the moment between two steps, when sequences may be opened and closed. */
  #tasks: (() => void)[] = []
  #running = false
  #counters = { steps: 0, rowTokens: 0, promptTokens: 0, cachedTokens: 0, generatedTokens: 0, stepMs: 0, betweenMs: 0 }
  /** Since when no step runs; undefined where none has to. */
  #idleSince: number | undefined
  /** What readers are told of the last step, once the next one runs. */
  #outbox: (() => void)[] = []
  /** Number of the last step in which a request computed several ids. */
  #lastLong = 0

  constructor(engine: Engine, options: SchedulerOptions = {}) {
    const { maxRows = Infinity, maxCachedTokens = Infinity, maxCacheBytes = Infinity, keptBytes = 0 } = options
    this.engine = engine
    this.#maxRows = maxRows
    this.#maxCachedTokens = Math.min(maxCachedTokens, maxCacheBytes / engine.positionBytes)
    const logits = Math.max(1, Math.floor(logitsPerStep / engine.model.config.vocabSize))
    const { promptTokensBeside = rowTokensPerStep, promptSlowdown = Infinity } = options
    this.#limits = { rowTokens: rowTokensPerStep, logits, ragged: engine.model.decoder.ragged }
    this.#pace = new PromptPace(promptSlowdown, promptTokensBeside)
    this.#kept = new PrefixCache(engine, keptBytes)
  }

  get counters(): SchedulerCounters {
    const [running, waiting] = [this.#active.length, this.#waiting.length]
    return {
      running,
      waiting,
      rows: rowsOf(this.#active),
      ...this.#counters,
      cacheBytes: this.engine.cacheMemoryBytes,
      keptBytes: this.#kept.bytes,
    }
  }

  /**
   * Runs a request until it ends.
   *
   * @throws usage error for an empty prompt, one longer than the context, a P the model does not have, or a bad option
   */
  submit(request: TokenRequest): Promise<Finished> {
    const wake = () => this.#run()
    // A signal of its own: Node warns of many listeners on one that many requests share.
    const signal = request.signal && anySignal(request.signal)
    signal?.addEventListener('abort', wake)
    return new Promise<Finished>((finish, fail) => {
      checkRequest(request, this.engine.model.config.maxPositionEmbeddings)
      this.engine.checkTokens(request.promptIds)
      this.#between(() => this.#wait(request, finish, fail))
    }).finally(() => signal?.removeEventListener('abort', wake))
  }

  /** Fair queueing: the next turn, or where its owner has that already, the one after the owner's last. */
  #wait(request: TokenRequest, finish: Submitted['finish'], fail: Submitted['fail']): void {
    const { owner = {} } = request
    const turn = Math.max(this.#turn, this.#turns.get(owner) ?? 0) + 1
    this.#turns.set(owner, turn)
    const before = this.#waiting.findLastIndex((other) => other.turn <= turn)
    this.#waiting.splice(before + 1, 0, { request, turn, finish, fail })
  }

  /** Frees a prompt cache's rows. A request that still uses it fails. */
  release(cache: PromptCache): Promise<void> {
    const error = () => usageError('the prompt cache was released while this request used it')
    return new Promise((resolve) => {
      this.#between(() => {
        this.#fail((request) => (request.cache === cache ? error() : undefined))
        if (cache.sequence) this.engine.close(cache.sequence)
        cache.sequence = undefined
        resolve()
      })
    })
  }

  /** Frees what finished requests left. */
  releaseKept(): Promise<void> {
    return new Promise((resolve) => {
      this.#between(() => {
        this.#kept.clear()
        resolve()
      })
    })
  }

  #between(task: () => void): void {
    this.#tasks.push(task)
    this.#run()
  }

  #run(): void {
    if (this.#running) return
    this.#running = true
    const rounds = async () => {
      while (this.#hasWork()) {
        if (this.engine.isTaken) {
          // Others step first, which is nothing of ours.
          this.#idleSince = undefined
          this.#tell()
        }
        await this.engine.turn(() => this.#round())
      }
      this.#running = false
      this.#idleSince = undefined
      this.#tell()
    }
    void rounds()
  }

  #hasWork(): boolean {
    const aborted = ({ request }: { request: TokenRequest }) => request.signal?.aborted
    return (
      this.#tasks.length > 0 ||
      this.#active.some((active) => !active.paused || aborted(active)) ||
      this.#waiting.some((waiting, i) => aborted(waiting) || (i === 0 && this.#fits(waiting.request)))
    )
  }

  /** Lets requests leave and join, then steps once. */
  async #round(): Promise<void> {
    // Leaving comes first: who joins may want the prompt cache of one that leaves.
    this.#fail(({ signal }) => (signal?.aborted ? signal.reason : undefined))
    for (const task of this.#tasks.splice(0)) task()
    this.#admit()
    for (const active of this.#active) if (active.source && waitsNoLonger(active, active.source)) this.#takeOver(active)
    const candidates = this.#inOrder()
    const generating = rowsOf(candidates.filter(({ left }) => left === 1))
    const chosen = planStep(candidates, { ...this.#limits, promptTokensBeside: this.#pace.tokens(generating) })
    if (chosen.length === 0) {
      this.#idleSince = undefined
      return this.#tell()
    }
    const step = ++this.#counters.steps
    try {
      const work = chosen.map(({ request, count }) => request.work(count))
      const [singles, longs] = [
        chosen.filter(({ request }) => request.left === 1),
        chosen.filter(({ request }) => request.left > 1),
      ]
      const started = performance.now()
      if (this.#idleSince !== undefined) this.#counters.betweenMs += started - this.#idleSince
      const stepping = this.engine.step(work, { reuse: true })
      // Where it computes elsewhere, it does so by now: what readers make of the last step's tokens need not stand between the two.
      this.#tell()
      const results = await stepping
      this.#idleSince = performance.now()
      const ms = this.#idleSince - started
      this.#counters.stepMs += ms
      this.#pace.note({
        generating: rowsOf(singles.map(({ request }) => request)),
        prompts: longs.reduce((sum, { request, count }) => sum + request.p * count, 0),
        ms,
      })
      for (const [i, { request: active, count }] of chosen.entries()) {
        active.lastStep = step
        if (count > 1) this.#lastLong = step
        this.#counters.rowTokens += count * active.p
        const before = active.ids.length
        await this.#take(active, results[i])
        this.#counters.generatedTokens += active.ids.length - before
      }
    } catch (error) {
      for (const { request } of chosen) this.#leave(request, () => request.submitted.fail(error))
    }
  }

  /**
   * Who has waited longest comes first; prompts wait as one, so that the first of them is through first. Who waits equally long:
   * those with one id, which cost little, then prompts as they came.
   */
  #inOrder(): Running[] {
    const since = (active: Running) => (active.left > 1 ? this.#lastLong : active.lastStep)
    return this.#active
      .filter(({ paused, source }) => !paused && !source)
      .sort((a, b) => since(a) - since(b) || Number(a.left > 1) - Number(b.left > 1))
  }

  /** What follows a step, for one request: where it fails, only that request leaves. */
  async #take(active: Running, result: StepResult | undefined): Promise<void> {
    const { request, finish, fail } = active.submitted
    const before = active.ids.length
    try {
      if (active.sequence.failure) throw active.sequence.failure
      const reason = await active.take(result).finally(() => {
        if (request.onTold && active.ids.length > before) this.#outbox.push(request.onTold)
      })
      if (reason) return this.#leave(active, () => finish(active.finished(reason)), true)
      this.#pause(active, [request.pause?.(), request.constraint?.prepare?.(request.signal)])
    } catch (error) {
      this.#leave(active, () => fail(error))
    }
  }

  /** It takes part in no step until all that there is has settled. */
  #pause(active: Running, pauses: readonly (Promise<void> | undefined)[]): void {
    active.paused = pauses.some((pause) => pause !== undefined)
    if (!active.paused) return
    void Promise.allSettled(pauses).then(() => {
      active.paused = false
      this.#run()
    })
  }

  #fits(request: TokenRequest): boolean {
    if (this.#active.length === 0) return true
    const { defaultP, config } = this.engine.model
    let [rows, tokens, longest] = [0, 0, 0]
    for (const { p, cache, promptIds, maxTokens } of [request, ...this.#active.map((active) => active.request)]) {
      const n = (cache ? cache.p : p) ?? defaultP
      const length = Math.min(config.maxPositionEmbeddings, promptIds.length + maxTokens)
      ;[rows, tokens, longest] = [rows + n, tokens + n * length, Math.max(longest, length)]
    }
    return rows <= this.#maxRows && (this.#limits.ragged ? tokens : rows * longest) <= this.#maxCachedTokens
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0]!.request)) {
      const submitted = this.#waiting.shift()!
      this.#turn = submitted.turn
      try {
        submitted.request.signal?.throwIfAborted()
        const opened = this.#open(submitted.request)
        const active = Object.assign(opened, { submitted, source: findSource(opened, this.#active) })
        this.#active.push(active)
        this.#pause(active, [submitted.request.constraint?.prepare?.(submitted.request.signal)])
      } catch (error) {
        submitted.fail(error)
      }
    }
  }

  #open(request: TokenRequest): ActiveRequest {
    const { promptIds, cache } = request
    const { maxPositionEmbeddings: context, hiddenSize } = this.engine.model.config
    if (cache?.sequence && this.#active.some(({ sequence }) => sequence === cache.sequence)) {
      throw usageError('the prompt cache is in use by another request; wait for it or use a second cache')
    }
    const p = (cache ? cache.p : request.p) ?? this.engine.model.defaultP
    if (request.withoutStreams) checkWithoutStreams(request.withoutStreams, p)
    // Positions whose results are wanted are always run.
    const most = firstWanted(request)
    const sequence =
      cache?.sequence ??
      (cache ? undefined : this.#kept.take(promptIds, p, most)?.sequence) ??
      this.engine.open({ p, room: promptIds.length })
    try {
      const shared = Math.min(commonPrefix(sequence.ids, promptIds), most)
      const active = new ActiveRequest(request, sequence, shared, { context, hiddenSize })
      this.engine.truncate(sequence, shared)
      this.#counters.promptTokens += promptIds.length
      this.#counters.cachedTokens += shared
      if (cache) cache.sequence = sequence
      return active
    } catch (error) {
      if (!cache?.sequence) this.engine.close(sequence)
      throw error
    }
  }

  #takeOver(active: Running): void {
    const source = active.source!
    active.source = undefined
    try {
      this.#counters.cachedTokens += takeOver(this.engine, active, source)
    } catch (error) {
      this.#leave(active, () => active.submitted.fail(error))
    }
  }

  /** Ends the requests, running or waiting, that `reason` gives an error for. */
  #fail(reason: (request: TokenRequest) => unknown): void {
    for (const active of this.#active) {
      const error = reason(active.request)
      if (error !== undefined) this.#leave(active, () => active.submitted.fail(error))
    }
    this.#waiting = this.#waiting.filter(({ request, fail }) => {
      const error = reason(request)
      if (error !== undefined) fail(error)
      return error === undefined
    })
  }

  #leave(active: Running, settle: () => void, keep = false): void {
    this.#active = this.#active.filter((other) => other !== active)
    for (const other of this.#active) if (other.source?.running === active) this.#takeOver(other)
    // Texts that are only read, to score them or for their hidden states, would push out conversations.
    if (keep && !active.request.cache && active.request.maxTokens > 0) this.#kept.keep(active.sequence)
    else if (!active.request.cache) this.engine.close(active.sequence)
    // Behind its last token.
    this.#outbox.push(settle)
  }

  #tell(): void {
    for (const tell of this.#outbox.splice(0)) tell()
  }
}

const rowsOf = (requests: readonly { readonly p: number }[]) => requests.reduce((sum, { p }) => sum + p, 0)
