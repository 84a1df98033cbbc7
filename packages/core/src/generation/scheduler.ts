/**
 * Runs many requests on one engine. They join and leave between steps; all that are decoding share each step, whatever
 * their P and length. Prompts are taken in chunks between decode steps, so that a long one does not stall the others.
 * What goes wrong with one request (a bad token, NaN logits, a callback that throws) ends that request only.
 */
import { usageError } from '../errors.ts'
import { type Engine, rowTokensPerStep } from './engine.ts'
import { createSampler, type Sampler, type SamplingOptions } from './sampling.ts'
import type { Sequence, StepResult } from './sequence.ts'

export interface GeneratedToken {
  readonly id: number
  /** Natural logarithm of the model's own probability, before temperature and penalties. Worked out when read, during the call only. */
  readonly logProbability: number
  /** Each stream's weight in this token, [P]. */
  readonly streamWeights: Float32Array
}

/** stop: a stop token, or `onToken` said so. length: `maxTokens` or the end of the context. */
export type FinishReason = 'stop' | 'length'

/**
 * A sequence that outlives its request (a conversation): what the next prompt shares with it is not computed again.
 * One request at a time; freed by `Scheduler.release`.
 */
export class PromptCache {
  readonly p: number | undefined
  /** Managed by the scheduler. */
  sequence: Sequence | undefined

  /** @param p streams; default: the model's largest */
  constructor(p?: number) {
    this.p = p
  }
}

export interface TokenRequest {
  readonly promptIds: readonly number[]
  /** At least 1. */
  readonly maxTokens: number
  readonly sampling: SamplingOptions
  /** Tokens that end the generation; they are not reported. */
  readonly stopTokenIds?: readonly number[]
  /** Default: the model's largest. With `cache`, the cache's P counts. */
  readonly p?: number
  readonly cache?: PromptCache
  /** Ends the request between two steps; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Tokens of the prompt done so far, those found in the cache included. */
  readonly onPrefill?: (done: number, total: number) => void
  /** Called for each token; returning true ends the generation after it. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most callbacks return nothing
  readonly onToken?: (token: GeneratedToken) => boolean | void
}

interface Active {
  readonly request: TokenRequest
  readonly sequence: Sequence
  readonly sampler: Sampler
  readonly maxTokens: number
  /** What of the prompt is still to be run. */
  pending: readonly number[]
  /** Generated so far, the last of which has not been run yet. */
  readonly generated: number[]
  readonly finish: (reason: FinishReason) => void
  readonly fail: (error: unknown) => void
}

export class Scheduler {
  readonly #engine: Engine
  #active: Active[] = []
  /** What waits for the moment between two steps, when sequences may be opened and closed. */
  #tasks: (() => void)[] = []
  #running = false
  /** Prefill and decode steps take turns while there is work of both kinds. */
  #prefillNext = true

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Generates until the request ends.
   *
   * @throws usage error for an empty prompt, one longer than the context, a P the model does not have, or a bad option
   */
  submit(request: TokenRequest): Promise<FinishReason> {
    return new Promise<FinishReason>((finish, fail) => {
      this.#between(() => {
        try {
          request.signal?.throwIfAborted()
          this.#active.push(this.#admit(request, finish, fail))
        } catch (error) {
          fail(error)
        }
      })
    })
  }

  /** Frees a prompt cache's rows. A request that still uses it fails. */
  release(cache: PromptCache): Promise<void> {
    return new Promise((resolve) => {
      this.#between(() => {
        for (const active of this.#active.filter((a) => a.request.cache === cache))
          this.#leave(active, () => active.fail(usageError('the prompt cache was released while this request used it')))
        if (cache.sequence) this.#engine.close(cache.sequence)
        cache.sequence = undefined
        resolve()
      })
    })
  }

  #between(task: () => void): void {
    this.#tasks.push(task)
    if (!this.#running) void this.#run()
  }

  #admit(request: TokenRequest, finish: Active['finish'], fail: Active['fail']): Active {
    const { promptIds, sampling, cache } = request
    if (!Number.isInteger(request.maxTokens) || request.maxTokens < 1) {
      throw usageError(`maxTokens must be an integer of at least 1, got ${request.maxTokens}`, {
        flag: 'maxTokens',
        found: request.maxTokens,
      })
    }
    if (promptIds.length === 0) throw usageError('the prompt has no tokens; a model needs at least one to start from')
    const context = this.#engine.model.config.maxPositionEmbeddings
    if (promptIds.length > context) {
      throw usageError(`the prompt has ${promptIds.length} tokens, the model's context is ${context}; shorten the prompt`, {
        expected: context,
        found: promptIds.length,
      })
    }
    this.#engine.checkTokens(promptIds)
    const sampler = createSampler(sampling, promptIds)
    if (cache?.sequence && this.#active.some(({ sequence }) => sequence === cache.sequence)) {
      throw usageError('the prompt cache is in use by another request; wait for it or use a second cache')
    }
    const sequence = cache?.sequence ?? this.#engine.open({ p: cache ? cache.p : request.p, room: promptIds.length })
    if (cache) cache.sequence = sequence
    // The last token of the prompt is always run: its output is what the first new token is sampled from.
    const shared = Math.min(commonPrefix(sequence.ids, promptIds), promptIds.length - 1)
    this.#engine.truncate(sequence, shared)
    return {
      request,
      sequence,
      sampler,
      // The last token generated need not fit: nothing is computed from it.
      maxTokens: Math.min(request.maxTokens, context - promptIds.length + 1),
      pending: promptIds.slice(shared),
      generated: [],
      finish,
      fail,
    }
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#tasks.length > 0 || this.#active.length > 0) await this.#engine.turn(() => this.#round())
    this.#running = false
  }

  /** Lets requests leave and join, then steps once. */
  async #round(): Promise<void> {
    // Leaving comes first: who joins may want the prompt cache of one that leaves.
    for (const active of this.#active.filter((a) => a.request.signal?.aborted)) {
      this.#leave(active, () => active.fail(active.request.signal!.reason))
    }
    for (const task of this.#tasks.splice(0)) task()
    const waiting = this.#active.filter((a) => a.pending.length > 0)
    const decoding = this.#active.filter((a) => a.pending.length === 0)
    const prefill = waiting.length > 0 && (decoding.length === 0 || this.#prefillNext)
    this.#prefillNext = !prefill
    const chosen = prefill ? prefillBatch(waiting) : decoding
    if (chosen.length === 0) return
    try {
      await (prefill ? this.#prefill(chosen) : this.#decode(chosen))
    } catch (error) {
      for (const active of chosen) this.#leave(active, () => active.fail(error))
    }
  }

  async #prefill(chosen: readonly Active[]): Promise<void> {
    const rows = chosen.reduce((sum, { sequence }) => sum + sequence.p, 0)
    const chunk = Math.max(1, Math.floor(rowTokensPerStep / rows))
    const results = await this.#engine.step(
      chosen.map(({ sequence, pending }) => ({
        sequence,
        ids: pending.slice(0, chunk),
        want: pending.length <= chunk ? 'last' : 'none',
      })),
    )
    for (const [i, active] of chosen.entries()) {
      this.#orLeave(active, () => {
        active.pending = active.pending.slice(chunk)
        const total = active.request.promptIds.length
        active.request.onPrefill?.(total - active.pending.length, total)
        if (results[i]) this.#accept(active, results[i])
      })
    }
  }

  async #decode(chosen: readonly Active[]): Promise<void> {
    const results = await this.#engine.step(
      chosen.map(({ sequence, generated }) => ({ sequence, ids: [generated.at(-1)!], want: 'last' })),
    )
    for (const [i, active] of chosen.entries()) this.#orLeave(active, () => this.#accept(active, results[i]!))
  }

  /** What follows a step, for one request: where it fails, only that request leaves. */
  #orLeave(active: Active, next: () => void): void {
    try {
      if (active.sequence.failure) throw active.sequence.failure
      next()
    } catch (error) {
      this.#leave(active, () => active.fail(error))
    }
  }

  /** Samples the next token, reports it, and sees whether the request is done. */
  #accept(active: Active, result: StepResult): void {
    const { request, sampler, generated } = active
    const drawn = sampler.sample(result.logits)
    if (request.stopTokenIds?.includes(drawn.id)) {
      this.#leave(active, () => active.finish('stop'))
      return
    }
    sampler.accept(drawn.id)
    generated.push(drawn.id)
    const stop = request.onToken?.({
      id: drawn.id,
      get logProbability() {
        return drawn.logProbability
      },
      streamWeights: result.streamWeights.slice(),
    })
    if (stop) this.#leave(active, () => active.finish('stop'))
    else if (generated.length >= active.maxTokens) this.#leave(active, () => active.finish('length'))
  }

  #leave(active: Active, settle: () => void): void {
    this.#active = this.#active.filter((other) => other !== active)
    if (!active.request.cache) this.#engine.close(active.sequence)
    settle()
  }
}

/** As many waiting prompts as fit one step; at least one. */
function prefillBatch(waiting: readonly Active[]): Active[] {
  const chosen: Active[] = []
  let [rows, tokens] = [0, 0]
  for (const active of waiting) {
    rows += active.sequence.p
    tokens = Math.max(tokens, active.pending.length)
    if (chosen.length > 0 && rows * tokens > rowTokensPerStep) break
    chosen.push(active)
  }
  return chosen
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let n = 0
  while (n < a.length && n < b.length && a[n] === b[n]) n++
  return n
}
