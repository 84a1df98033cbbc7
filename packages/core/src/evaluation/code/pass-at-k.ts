/**
 * pass@k: the chance that one of k samples passes, estimated without bias from n >= k samples of each problem.
 * M. Chen et al., Evaluating Large Language Models Trained on Code, arXiv 2107.03374, equation 1 and figure 3.
 */
import { usageError } from '../../errors.ts'

export interface Estimate {
  readonly k: number
  /** Mean over the problems, 0 to 1. */
  readonly value: number
  /** Of the mean, over problems: s / sqrt(problems). Undefined for one problem. */
  readonly standardError: number | undefined
  readonly problems: number
}

/** Samples of one problem, and how many of them passed. */
export interface Tally {
  readonly samples: number
  readonly passed: number
}

/**
 * 1 - C(n - c, k) / C(n, k), as a product of factors below 1: the binomials themselves overflow.
 *
 * @throws usage error unless 1 <= k <= samples and 0 <= passed <= samples, all whole
 */
export function passAtK({ samples: n, passed: c }: Tally, k: number): number {
  if (![n, c, k].every(Number.isInteger) || c < 0 || c > n || k < 1 || k > n)
    throw usageError(`pass@k: 1 <= k <= samples and 0 <= passed <= samples must hold, got k ${k}, samples ${n}, passed ${c}`)
  if (n - c < k) return 1
  let allFail = 1
  for (let i = n - c + 1; i <= n; i++) allFail *= 1 - k / i
  return 1 - allFail
}

/** @throws usage error when a problem has fewer than k samples, or there is no problem */
export function estimatePassAtK(tallies: readonly Tally[], k: number): Estimate {
  if (tallies.length === 0) throw usageError('pass@k: there are no problems; judge at least one sample')
  const values = tallies.map((tally) => passAtK(tally, k))
  const m = values.length
  const value = values.reduce((sum, each) => sum + each, 0) / m
  const squares = values.reduce((sum, each) => sum + (each - value) ** 2, 0)
  return { k, value, standardError: m > 1 ? Math.sqrt(squares / (m - 1) / m) : undefined, problems: m }
}
