/** Logits to log-probabilities (natural, in double precision). All refuse logits that are NaN or +Infinity, by name. */
import { runtimeError, usageError } from '../errors.ts'
import type { StepResult } from './sequence.ts'

export interface TokenLogprob {
  readonly id: number
  readonly logProbability: number
}

/** ln of the sum of exp(logits): logits[id] minus this is the log-probability of `id`. */
export function logSumExp(logits: Float32Array): number {
  const max = logits[argmax(logits)]!
  let sum = 0
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - max)
  return max + Math.log(sum)
}

/** logSumExp of row `t` of n: the decoder's, where it worked one out and all logits are finite. */
export function normaliserOf({ logits, normalisers }: Pick<StepResult, 'logits' | 'normalisers'>, n: number, t: number): number {
  const known = normalisers?.[t]
  if (known !== undefined && Number.isFinite(known)) return known
  const width = logits.length / n
  return logSumExp(logits.subarray(t * width, (t + 1) * width))
}

/** ln softmax of logits [V]. */
export function logSoftmax(logits: Float32Array): Float64Array {
  const normaliser = logSumExp(logits)
  const out = new Float64Array(logits.length)
  // By index: Float64Array.from with a function takes ten times as long.
  for (let i = 0; i < out.length; i++) out[i] = logits[i]! - normaliser
  return out
}

/**
 * The `count` most probable tokens, best first; between equals the lower id goes first.
 *
 * @param normaliser logSumExp(logits)
 */
export function topLogprobs(logits: Float32Array, count: number, normaliser: number): TokenLogprob[] {
  const ids: number[] = []
  for (let id = 0; id < logits.length && count > 0; id++) {
    if (ids.length === count) {
      if (logits[id]! <= logits[ids.at(-1)!]!) continue
      ids.pop()
    }
    let at = ids.length
    while (at > 0 && logits[id]! > logits[ids[at - 1]!]!) at--
    ids.splice(at, 0, id)
  }
  return ids.map((id) => ({ id, logProbability: logits[id]! - normaliser }))
}

/** Index of the largest score, the lowest among equals. Refuses what no draw can be made from, by name. */
export function argmax(scores: Float32Array): number {
  // Four at a time, which do not wait for each other: a vocabulary is gone through for each token.
  let a = -Infinity
  let b = -Infinity
  let c = -Infinity
  let d = -Infinity
  let sum = 0
  let id = 0
  for (const whole = scores.length - 3; id < whole; id += 4) {
    const first = scores[id]!
    const second = scores[id + 1]!
    const third = scores[id + 2]!
    const fourth = scores[id + 3]!
    if (first > a) a = first
    if (second > b) b = second
    if (third > c) c = third
    if (fourth > d) d = fourth
    sum += first + second + (third + fourth)
  }
  for (; id < scores.length; id++) {
    const score = scores[id]!
    if (score > a) a = score
    sum += score
  }
  // Also where there are both infinities.
  const nan = Number.isNaN(sum) ? scores.findIndex(Number.isNaN) : -1
  if (nan >= 0)
    throw runtimeError(`sampling: logit of token ${nan} is NaN; check the model's weights and inputs`, { found: Number.NaN })
  const max = Math.max(a, b, c, d)
  const best = max === -Infinity ? -1 : scores.indexOf(max)
  if (max === Infinity) throw runtimeError(`sampling: logit of token ${best} is +Infinity`, { found: max })
  if (best < 0) {
    throw usageError(
      `sampling: all ${scores.length} tokens are banned (logit -Infinity); logit_bias, banned tokens and what the text must follow leave none together`,
      { found: max },
    )
  }
  return best
}
