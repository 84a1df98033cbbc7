/** Logits to log-probabilities (natural, in double precision). All refuse logits that are NaN or +Infinity, by name. */
import { runtimeError } from '../errors.ts'

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
  let best = -1
  let max = -Infinity
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id]!
    if (score > max) {
      max = score
      best = id
    } else if (Number.isNaN(score)) {
      throw runtimeError(`sampling: logit of token ${id} is NaN; check the model's weights and inputs`, { found: score })
    }
  }
  if (max === Infinity) throw runtimeError(`sampling: logit of token ${best} is +Infinity`, { found: max })
  if (best < 0) throw runtimeError(`sampling: all ${scores.length} tokens are banned (logit -Infinity)`, { found: max })
  return best
}
