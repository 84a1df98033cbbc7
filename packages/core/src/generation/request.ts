/** A request to the scheduler: ids still to compute, what is wanted of them, and what becomes of the results. */
import { usageError } from '../errors.ts'
import type { TokenConstraint } from './constrain/index.ts'
import { logSumExp, type TokenLogprob, topLogprobs } from './log-probabilities.ts'
import { createSampler, type Sampler, type SamplingOptions } from './sampling.ts'
import type { Sequence, StepResult, Work } from './sequence.ts'
import type { Plannable } from './step-plan.ts'
import { constraintMask } from './token-constraint.ts'

/** A token as it is generated: id, natural log-probability, stream weights [P]. */
export interface GeneratedToken {
  readonly id: number
  /** Natural logarithm of the model's own probability, before temperature and penalties. Worked out when read, during the call only. */
  readonly logProbability: number
  /** The most probable tokens, as many as `topLogprobs` asks for, best first; the drawn one need not be among them. */
  readonly topLogprobs: readonly TokenLogprob[]
  /** Each stream's weight in this token, [P]. */
  readonly streamWeights: Float32Array
  /** With `streamChoices`: what each stream alone would have said, its most probable token, [P]. */
  readonly streamChoices?: readonly TokenLogprob[]
}

/** A token of a prompt with its natural log-probability. */
export interface PromptToken {
  readonly id: number
  /** Natural; null for the first token, which nothing comes before. */
  readonly logProbability: number | null
  /** The most probable tokens in its place, best first. */
  readonly topLogprobs: readonly TokenLogprob[]
}

/** stop: a stop token, the end of a constraint, or `onToken` said so. length: `maxTokens` or the end of the context. */
export type FinishReason = 'stop' | 'length'

/** How a request ended: the reason, and what it asked of its prompt. */
export interface Finished {
  readonly finishReason: FinishReason
  /** Of the prompt, tokens that a cache held, so that they were not computed. */
  readonly cachedTokens: number
  /** With `promptLogprobs`: the prompt's tokens. */
  readonly prompt?: readonly PromptToken[]
  /** With `hidden`: [1, hidden] of the prompt's last token or the mean of all its tokens, or [T, hidden]. */
  readonly hidden?: Float32Array
}

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

/** All callbacks run inside the engine's turn, when nothing else can step: return at once, and hand slow work on (token-stream.ts). */
export interface TokenRequest {
  readonly promptIds: readonly number[]
  /** Tokens to generate; 0 only where something is wanted of the prompt. */
  readonly maxTokens: number
  /** Default: drawn from the model's own distribution, with seed 0. */
  readonly sampling?: SamplingOptions
  /** What may be generated. When it throws or allows nothing, the request fails, and only that one. Of this request alone: it has a state. */
  readonly constraint?: TokenConstraint
  /** Tokens that end the generation; `onToken` is not told of them. */
  readonly stopTokenIds?: readonly number[]
  /** Called with the stop token that ended the generation. */
  readonly onStop?: (token: GeneratedToken) => void
  /** Default: the model's largest. With `cache`, the cache's P counts. */
  readonly p?: number
  readonly cache?: PromptCache
  /** Who asks: of those that wait, each owner's are let in in turn with the others'. Default: one of its own. */
  readonly owner?: object
  /** Ends the request between two steps; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** So many of the most probable tokens with each generated one. Default 0. */
  readonly topLogprobs?: number
  /** Each stream's own most probable token with each generated one: P rows more through the output embedding. Default false. */
  readonly streamChoices?: boolean
  /**
   * Streams, from 0, that have no say in what is generated: their weight is 0, the others' are scaled up to sum to 1. They are
   * computed all the same, so that what they would have said is told with `streamChoices`. At least one must be left. Default: none.
   */
  readonly withoutStreams?: readonly number[]
  /** The prompt's log-probabilities, with so many of the most probable tokens in each place. Absent: none. */
  readonly promptLogprobs?: number
  /** Hidden states that the output embedding reads: after the final norm and the aggregation of the streams. */
  readonly hidden?: 'last' | 'mean' | 'all'
  /** Tokens of the prompt done so far, those found in the cache included. */
  readonly onPrefill?: (done: number, total: number) => void
  /**
   * Results of the prompt's positions `at`, `at` + 1, .. as they are computed, from `positionsFrom` on: views, valid during the
   * call. A promise is waited for within the turn.
   */
  readonly onPositions?: (at: number, result: StepResult) => void | Promise<void>
  /** Default 0. */
  readonly positionsFrom?: number
  /** What `onPositions` gets shall have normalisers (StepResult) where the decoder works them out. Default false. */
  readonly normalised?: boolean
  /** Asked after each of the request's steps: it takes part in no other until the promise settles, while others go on. */
  readonly pause?: () => Promise<void> | undefined
  /** Called for each token; returning true ends the generation after it. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most callbacks return nothing
  readonly onToken?: (token: GeneratedToken) => boolean | void
  /**
   * Called behind `onToken` when the next step computes, or none has to: here readers are woken, as their work may take its time. What
   * the request comes to is told behind it. Must not throw.
   */
  readonly onTold?: () => void
}

/** @throws usage error that names what is wrong with a request */
export function checkRequest(request: TokenRequest, context: number): void {
  const { promptIds, maxTokens } = request
  const reads = request.onPositions !== undefined || request.promptLogprobs !== undefined || request.hidden !== undefined
  const least = reads ? 0 : 1
  if (!Number.isInteger(maxTokens) || maxTokens < least) {
    throw usageError(`maxTokens must be an integer of at least ${least}, got ${maxTokens}`, {
      flag: 'maxTokens',
      found: maxTokens,
    })
  }
  for (const flag of ['topLogprobs', 'promptLogprobs'] as const) {
    const found = request[flag]
    if (found !== undefined && !(Number.isInteger(found) && found >= 0))
      throw usageError(`${flag} must be an integer of at least 0, got ${found}`, { flag, found })
  }
  if (promptIds.length === 0) throw usageError('the prompt has no tokens; a model needs at least one to start from')
  if (promptIds.length > context) {
    throw usageError(`the prompt has ${promptIds.length} tokens, the model's context is ${context}; shorten the prompt`, {
      expected: context,
      found: promptIds.length,
    })
  }
}

/** @throws usage error for streams to be left out that there are not, or where none is left */
export function checkWithoutStreams(without: readonly number[], p: number): void {
  const flag = 'withoutStreams'
  const wrong = without.find((stream) => !(Number.isInteger(stream) && stream >= 0 && stream < p))
  if (wrong !== undefined)
    throw usageError(`${flag}: there is no stream ${wrong}; with P = ${p} they are 0 to ${p - 1}`, { flag, found: wrong })
  if (without.length > 0 && new Set(without).size === p)
    throw usageError(`${flag}: all ${p} streams are left out; leave at least one`, { flag, found: without })
}

/** The first position of the prompt whose result is wanted: the last one at least. */
export function firstWanted({ promptIds, onPositions, positionsFrom = 0, promptLogprobs, hidden }: TokenRequest): number {
  const all = promptLogprobs !== undefined || hidden === 'mean' || hidden === 'all'
  return Math.min(all ? 0 : promptIds.length - 1, onPositions ? positionsFrom : Infinity)
}

/** A request that the scheduler runs. */
export class ActiveRequest implements Plannable {
  readonly request: TokenRequest
  sequence: Sequence
  /** The prompt and what was generated. What lies beyond `sequence.length` is still to be computed. */
  readonly ids: number[]
  /** Number of the last step that it took part in. */
  lastStep = 0
  paused = false
  /** Of the prompt, tokens that were there already. */
  cachedTokens: number
  readonly #sampler: Sampler
  /** The prompt's tokens and as many as may be generated. */
  readonly #end: number
  readonly #from: number
  readonly #needsLogits: boolean
  readonly #prompt: PromptToken[] = []
  readonly #hidden: Float32Array | undefined
  /** Of all hidden states so far, where their mean is wanted. */
  readonly #sum: Float64Array | undefined

  /** @param sequence holds the part of the prompt that need not be computed @param cached tokens of it */
  constructor(
    request: TokenRequest,
    sequence: Sequence,
    cached: number,
    model: { readonly context: number; readonly hiddenSize: number },
  ) {
    const { promptIds, maxTokens, constraint, hidden } = request
    const mask = constraint && { constraint: constraintMask(constraint) }
    const sampling = { ...(request.sampling ?? { temperature: 1 }), ...mask }
    this.request = request
    this.sequence = sequence
    this.ids = [...promptIds]
    this.cachedTokens = cached
    this.#sampler = createSampler(sampling, promptIds)
    // The last token generated need not fit: nothing is computed from it.
    this.#end = Math.min(promptIds.length + maxTokens, model.context + 1)
    this.#from = firstWanted(request)
    this.#needsLogits = maxTokens > 0 || request.promptLogprobs !== undefined || request.onPositions !== undefined
    this.#prompt = [{ id: promptIds[0]!, logProbability: null, topLogprobs: [] }]
    if (hidden === 'mean') this.#sum = new Float64Array(model.hiddenSize)
    else if (hidden) this.#hidden = new Float32Array((hidden === 'all' ? promptIds.length : 1) * model.hiddenSize)
  }

  get p(): number {
    return this.sequence.p
  }

  get left(): number {
    return this.ids.length - this.sequence.length
  }

  logits(count: number): number {
    return (this.#needsLogits ? this.#wanted(count) : 0) + (this.#wantsStreams(count) ? this.p : 0)
  }

  /** Its part in a step that computes the next `count` ids. */
  work(count: number): Work {
    const at = this.sequence.length
    const { withoutStreams, normalised = false } = this.request
    const want = { want: this.#wanted(count), logits: this.#needsLogits, streamLogits: this.#wantsStreams(count), withoutStreams }
    return {
      sequence: this.sequence,
      ids: this.ids.slice(at, at + count),
      normalised,
      ...want,
    }
  }

  /** After the next `count` ids a token is drawn, of which each stream's own choice is told. */
  #wantsStreams(count: number): boolean {
    return this.request.streamChoices === true && count === this.left && this.ids.length < this.#end
  }

  #wanted(count: number): number {
    return Math.min(count, Math.max(0, this.sequence.length + count - this.#from))
  }

  /** Takes a step's result, after its ids were appended to the sequence. Returns why the request is done, where it is. */
  async take(result: StepResult | undefined): Promise<FinishReason | undefined> {
    const { request, sequence } = this
    const total = request.promptIds.length
    if (sequence.length <= total) {
      request.onPrefill?.(sequence.length, total)
      if (result) await this.#takePrompt(result)
    }
    if (this.left > 0) return undefined
    if (this.ids.length >= this.#end) return 'length'
    return this.#draw(result!)
  }

  finished(finishReason: FinishReason): Finished {
    const total = this.request.promptIds.length
    const hidden = this.#sum ? Float32Array.from(this.#sum, (x) => x / total) : this.#hidden
    return {
      finishReason,
      cachedTokens: this.cachedTokens,
      ...(this.request.promptLogprobs !== undefined && { prompt: this.#prompt }),
      ...(hidden && { hidden }),
    }
  }

  async #takePrompt(result: StepResult): Promise<void> {
    const { promptIds, promptLogprobs, hidden, onPositions } = this.request
    const n = result.streamWeights.length / this.p
    const at = this.sequence.length - n
    if (onPositions) await onPositions(at, result)
    if (hidden === 'all') this.#hidden!.set(result.hidden, (at * result.hidden.length) / n)
    else if (hidden === 'mean') addRows(this.#sum!, result.hidden)
    else if (hidden === 'last' && this.left === 0) this.#hidden!.set(result.hidden.slice(-this.#hidden!.length))
    if (promptLogprobs === undefined) return
    for (const [t, id] of promptIds.slice(at + 1, at + 1 + n).entries()) {
      const logits = rowOf(result.logits, n, t)
      const normaliser = logSumExp(logits)
      const logProbability = logits[id]! - normaliser
      this.#prompt.push({ id, logProbability, topLogprobs: topLogprobs(logits, promptLogprobs, normaliser) })
    }
  }

  /** Draws what follows the last id, and reports it. */
  #draw(result: StepResult): FinishReason | undefined {
    const { request } = this
    const streamChoices = result.streamLogits && bestOfEach(result.streamLogits, this.p)
    const n = result.streamWeights.length / this.p
    const logits = rowOf(result.logits, n, n - 1)
    const { id } = this.#sampler.sample(logits)
    let normaliser: number | undefined
    const sum = () => (normaliser ??= logSumExp(logits))
    const token = (): GeneratedToken => ({
      id,
      get logProbability() {
        return logits[id]! - sum()
      },
      topLogprobs: request.topLogprobs ? topLogprobs(logits, request.topLogprobs, sum()) : [],
      streamWeights: result.streamWeights.slice(-this.p),
      ...(streamChoices && { streamChoices }),
    })
    if (request.stopTokenIds?.includes(id)) {
      request.onStop?.(token())
      return 'stop'
    }
    this.#sampler.accept(id)
    this.ids.push(id)
    const stop = request.onToken?.(token())
    request.constraint?.accept(id)
    if (stop || request.constraint?.done) return 'stop'
    return this.ids.length >= this.#end ? 'length' : undefined
  }
}

/** The most probable token of each row of [n, width]. */
function bestOfEach(logits: Float32Array, n: number): TokenLogprob[] {
  return Array.from({ length: n }, (_, i) => {
    const row = rowOf(logits, n, i)
    return topLogprobs(row, 1, logSumExp(row))[0]!
  })
}

/** Row `t` of [n, width]. */
function rowOf(values: Float32Array, n: number, t: number): Float32Array {
  const width = values.length / n
  return values.subarray(t * width, (t + 1) * width)
}

/** Adds rows [n, width] to `sum` [width]. */
function addRows(sum: Float64Array, rows: Float32Array): void {
  for (let i = 0; i < rows.length; i++) sum[i % sum.length]! += rows[i]!
}
