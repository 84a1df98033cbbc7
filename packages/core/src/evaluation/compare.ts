/**
 * What a change of arithmetic does to a model's answers: the distance of its next-token distributions from a reference's, on a
 * text. The figures are those of llama.cpp's `llama-perplexity --kl-divergence`.
 */
import { usageError } from '../errors.ts'
import { type Engine, logSoftmax } from '../generation/index.ts'
import { ascending, quantile } from '../spread.ts'
import { type ScoredPosition, scorePositions } from './score.ts'
import type { TextStepOptions } from './text-steps.ts'

export interface Comparison {
  /** Positions compared: every token of the text. */
  readonly tokens: number
  /** Of the tokens that follow another; null where there is one token only. */
  readonly perplexity: { readonly reference: number; readonly other: number; readonly ratio: number } | null
  /** Kullback-Leibler divergence of the other's distribution from the reference's, per position, in nats. */
  readonly kl: {
    readonly mean: number
    /** Standard error of the mean, as if positions were independent. */
    readonly standardError: number
    readonly median: number
    readonly p90: number
    readonly p99: number
    readonly max: number
  }
  /** Share of positions at which both think the same token the most probable. */
  readonly topOneAgreement: number
  /** Root mean square of the difference in the probability of the token that follows. */
  readonly rmsDeltaP: number | null
}

/**
 * Reads a text with two models of one vocabulary in step and compares what they expect at every position.
 *
 * @param reference, other engines; P may be another for each
 * @throws usage error when there are no tokens, or the vocabularies differ in size
 */
export async function compareIds(
  reference: Engine,
  other: Engine,
  ids: readonly number[],
  options: TextStepOptions & { readonly otherP?: number } = {},
): Promise<Comparison> {
  const [mine, theirs] = [reference.model.config.vocabSize, other.model.config.vocabSize]
  if (mine !== theirs) {
    throw usageError(`only models of one vocabulary can be compared; these have ${mine} and ${theirs} tokens`, {
      expected: mine,
      found: theirs,
    })
  }
  const { otherP = options.p, ...walk } = options
  const comparison = collectComparison(ids)
  const others = scorePositions(other, ids, { ...walk, p: otherP, onProgress: undefined })
  try {
    for await (const position of scorePositions(reference, ids, walk)) {
      comparison.add(position, (await others.next()).value as ScoredPosition)
    }
  } finally {
    await others.return(undefined)
  }
  return comparison.result()
}

/** Adds positions up to a comparison. */
export function collectComparison(ids: readonly number[]): {
  add(reference: ScoredPosition, other: ScoredPosition): void
  result(): Comparison
} {
  const divergences: number[] = []
  let agreements = 0
  let [loss, otherLoss, squares] = [0, 0, 0]
  return {
    add(reference, other) {
      const p = logSoftmax(reference.logits)
      const q = logSoftmax(other.logits)
      divergences.push(divergence(p, q))
      agreements += Number(argmax(p) === argmax(q))
      const next = ids[reference.position + 1]
      if (next === undefined) return
      loss -= p[next]!
      otherLoss -= q[next]!
      squares += (Math.exp(p[next]!) - Math.exp(q[next]!)) ** 2
    },
    result() {
      const tokens = divergences.length
      const scored = tokens - 1
      const sorted = divergences.toSorted(ascending)
      const mean = sorted.reduce((sum, x) => sum + x, 0) / tokens
      const variance = sorted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, tokens - 1)
      const perplexities = { reference: Math.exp(loss / scored), other: Math.exp(otherLoss / scored) }
      return {
        tokens,
        perplexity: scored > 0 ? { ...perplexities, ratio: Math.exp((otherLoss - loss) / scored) } : null,
        kl: {
          mean,
          standardError: Math.sqrt(variance / tokens),
          median: quantile(sorted, 0.5),
          p90: quantile(sorted, 0.9),
          p99: quantile(sorted, 0.99),
          max: sorted.at(-1)!,
        },
        topOneAgreement: agreements / tokens,
        rmsDeltaP: scored > 0 ? Math.sqrt(squares / scored) : null,
      }
    },
  }
}

/** sum p (log p - log q); never below 0, but for rounding, which is cut off. */
function divergence(logP: ArrayLike<number>, logQ: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < logP.length; i++) sum += Math.exp(logP[i]!) * (logP[i]! - logQ[i]!)
  return Math.max(0, sum)
}

function argmax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}
