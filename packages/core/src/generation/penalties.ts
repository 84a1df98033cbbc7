/**
 * What lowers or raises single tokens before sampling: logit bias and the penalties on tokens already seen.
 *
 * Applied in this order, which is that of transformers' logits processors and of vLLM's sampler:
 *   1. logit bias: added (OpenAI API). -Infinity bans a token.
 *   2. repetition penalty r over prompt AND generated tokens: a positive logit is divided by r, a negative one multiplied
 *      by it (CTRL, arXiv 1909.05858, section 4.1; sign rule as in transformers' RepetitionPenaltyLogitsProcessor).
 *   3. frequency and presence penalty over GENERATED tokens only, c = times generated (OpenAI API):
 *      logit -= c * frequencyPenalty + (c > 0) * presencePenalty.
 */
import { runtimeError, usageError } from '../errors.ts'

export interface PenaltyOptions {
  /** Added to the logits of these ids. From -1e30 to 1e30, or -Infinity. */
  readonly logitBias?: ReadonlyMap<number, number>
  /** From 1e-6 to 1e6; 1 (default) does nothing, above 1 discourages repetition. */
  readonly repetitionPenalty?: number
  /** -2 to 2, default 0. */
  readonly presencePenalty?: number
  /** -2 to 2, default 0. */
  readonly frequencyPenalty?: number
}

export interface Penalties {
  /** False where `apply` would change nothing now or later. */
  readonly active: boolean
  /** Counts a generated token. */
  accept(id: number): void
  /** Changes `scores` [V] in place; costs time in the number of different tokens seen, not in V. */
  apply(scores: Float32Array): void
}

/** @param promptIds what the repetition penalty sees before anything is generated */
export function createPenalties(options: PenaltyOptions, promptIds: readonly number[]): Penalties {
  const { logitBias = new Map<number, number>(), repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options
  const repetition = repetitionPenalty !== 1
  const counting = presencePenalty !== 0 || frequencyPenalty !== 0
  const seen = new Set(repetition ? promptIds : [])
  const generatedCounts = new Map<number, number>()

  return {
    active: logitBias.size > 0 || repetition || counting,
    accept(id) {
      if (repetition) seen.add(id)
      if (counting) generatedCounts.set(id, (generatedCounts.get(id) ?? 0) + 1)
    },
    apply(scores) {
      for (const [id, bias] of logitBias) {
        if (id >= scores.length) {
          throw usageError(`logitBias: token id ${id} is outside the vocabulary of ${scores.length}`, {
            flag: 'logitBias',
            found: id,
          })
        }
        scores[id]! += bias
      }
      for (const id of seen) {
        const score = scoreOf(id, scores)
        scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty
      }
      for (const [id, count] of generatedCounts) {
        scores[id] = scoreOf(id, scores) - count * frequencyPenalty - presencePenalty
      }
    },
  }
}

function scoreOf(id: number, scores: Float32Array): number {
  const score = scores[id]
  if (score === undefined) throw runtimeError(`penalties: token id ${id} of the history is outside the ${scores.length} logits`)
  return score
}
