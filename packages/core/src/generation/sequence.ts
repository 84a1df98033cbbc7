/** A sequence in an engine's cache, what a step is asked to do with it, and what it gives back. */
import type { ParscaleError } from '../errors.ts'

/** A sequence in the cache. Made by `Engine.open`; everything here is for reading. */
export class Sequence {
  readonly p: number
  /** Position of the first token. */
  readonly firstPosition: number
  /** Token ids whose keys and values the cache holds. */
  readonly ids: number[] = []
  readonly prefix: number
  /** Its P rows of the cache; none once closed. */
  rows: readonly number[] = []
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

  // One by one: a context of tokens does not fit the arguments of one call.
  append(ids: readonly number[]): void {
    for (const id of ids) this.ids.push(id)
  }

  replaceIds(ids: readonly number[]): void {
    this.ids.length = 0
    this.append(ids)
  }

  /** Positions of the cache in use by each row. */
  get positions(): number {
    return this.prefix + this.length
  }
}

export interface Work {
  readonly sequence: Sequence
  /** New tokens, at least one. */
  readonly ids: readonly number[]
  /** Which tokens' results are wanted; a number: of so many, the last ones. */
  readonly want: 'none' | 'last' | 'all' | number
  /** False: hidden states only, which spares the output embedding. Default true. */
  readonly logits?: boolean
  /** Wanted with the logits: normalisers, where the decoder works them out. Default false. */
  readonly normalised?: boolean
  /** Logits of each stream alone too, for the last token that is wanted. Default false. */
  readonly streamLogits?: boolean
  /** Streams whose weight is 0, the others' scaled up: see TokenRequest. Default: none. */
  readonly withoutStreams?: readonly number[] | undefined
}

/** Of the n wanted tokens of one piece of work; views, valid until the next step. */
export interface StepResult {
  /** [n, vocabulary]; empty where only hidden states were wanted. */
  readonly logits: Float32Array
  /** ln of the sum of exp(logits) of each token, and the largest logit: [n]. Only where wanted and worked out; NaN where a logit is not finite. */
  readonly normalisers?: Float64Array
  readonly largest?: Float32Array
  /** [P, vocabulary], where wanted: what each stream's hidden state of the last token gives without the aggregation. */
  readonly streamLogits?: Float32Array
  /** What the output head read: [n, hidden]. */
  readonly hidden: Float32Array
  /** [n, P, hidden], after the final norm. */
  readonly streams: Float32Array
  /** [n, P]; ones for P = 1. */
  readonly streamWeights: Float32Array
}
