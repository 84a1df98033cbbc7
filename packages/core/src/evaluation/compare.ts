/**
 * What a change of arithmetic does to a model's answers: the distance of its next-token distributions from a reference's, on a
 * text. The figures are those of llama.cpp's `llama-perplexity --kl-divergence`.
 */
import { usageError } from '../errors.ts'
import { logSoftmax } from '../generation/index.ts'
import { ascending, quantile } from '../spread.ts'
import {
  engineOf,
  joinProgress,
  type Reader,
  type ReadOptions,
  readInOrder,
  schedulerOf,
  type Texts,
  textsOf,
} from './read-texts.ts'
import { type ScoredPosition, scorePositions } from './score.ts'

/** Each may hold a step's logits of both models while it waits for the slower one. */
const textsAtOnce = 8

/** How far a model is from another on the same text: KL divergence in nats, agreement, perplexities. */
export interface Comparison {
  /** Positions compared: every token of the texts. */
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
 * Reads texts with two models of one vocabulary in step and compares what they expect at every position.
 *
 * @param reference, other engines; P may be another for each @param texts ids of one text or several
 * @throws usage error when there are no tokens, or the vocabularies differ in size
 */
export async function compareIds(
  reference: Reader,
  other: Reader,
  texts: Texts,
  { otherP, ...options }: ReadOptions & { readonly otherP?: number } = {},
): Promise<Comparison> {
  const [mine, theirs] = [engineOf(reference).model.config.vocabSize, engineOf(other).model.config.vocabSize]
  if (mine !== theirs) {
    throw usageError(`only models of one vocabulary can be compared; these have ${mine} and ${theirs} tokens`, {
      expected: mine,
      found: theirs,
    })
  }
  const list = textsOf(texts)
  const comparison = collectComparison(list)
  const progress = joinProgress(list, options.onProgress)
  const schedulers = [schedulerOf(reference), schedulerOf(other)] as const
  const compared = readInOrder(list, textsAtOnce, options.signal, async (ids, signal, text) => {
    const others = scorePositions(schedulers[1], ids, { p: otherP ?? options.p, signal })
    try {
      for await (const position of scorePositions(schedulers[0], ids, { p: options.p, signal, onProgress: progress(text) }))
        comparison.add(position, (await others.next()).value as ScoredPosition, text)
    } finally {
      await others.return(undefined)
    }
  })
  for await (const _ of compared);
  return comparison.result()
}

/** Adds positions up to a comparison; those of several texts in any mixture. */
export function collectComparison(texts: Texts): {
  add(reference: ScoredPosition, other: ScoredPosition, text?: number): void
  result(): Comparison
} {
  const list = textsOf(texts)
  // By text, so that sums do not depend on which was read first.
  const perText = list.map(() => ({ divergences: [] as number[], agreements: 0, loss: 0, otherLoss: 0, squares: 0 }))
  return {
    add(reference, other, text = 0) {
      const sums = perText[text]!
      const p = logSoftmax(reference.logits)
      const q = logSoftmax(other.logits)
      sums.divergences.push(divergence(p, q))
      sums.agreements += Number(argmax(p) === argmax(q))
      const next = list[text]![reference.position + 1]
      if (next === undefined) return
      sums.loss -= p[next]!
      sums.otherLoss -= q[next]!
      sums.squares += (Math.exp(p[next]!) - Math.exp(q[next]!)) ** 2
    },
    result() {
      const total = (of: 'agreements' | 'loss' | 'otherLoss' | 'squares') => perText.reduce((sum, one) => sum + one[of], 0)
      const sorted = perText.flatMap(({ divergences }) => divergences).sort(ascending)
      const tokens = sorted.length
      const scored = tokens - list.length
      const mean = sorted.reduce((sum, x) => sum + x, 0) / tokens
      const variance = sorted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, tokens - 1)
      const [loss, otherLoss] = [total('loss'), total('otherLoss')]
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
        topOneAgreement: total('agreements') / tokens,
        rmsDeltaP: scored > 0 ? Math.sqrt(total('squares') / scored) : null,
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
