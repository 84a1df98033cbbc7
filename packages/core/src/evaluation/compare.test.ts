import { expect, it } from 'vitest'
import { collectComparison } from './compare.ts'

const weights = new Float32Array([1])
const at = (position: number, logits: readonly number[]) => ({
  position,
  logits: Float32Array.from(logits),
  streamWeights: weights,
})

/** Logits that are log-probabilities themselves. */
const logs = (...probabilities: number[]) => probabilities.map(Math.log)

it('measures divergence, agreement, perplexity and change of probability', () => {
  const comparison = collectComparison([2, 0, 1])
  // Token 0 follows, to which 1/2 and 1/4 are given.
  comparison.add(at(0, logs(1 / 2, 1 / 4, 1 / 4)), at(0, logs(1 / 4, 1 / 2, 1 / 4)))
  // Token 1 follows, to which both give 1/8. Scaled alike by a factor: logits need not be normalised.
  comparison.add(at(1, logs(3 / 4, 1 / 8, 1 / 8)), at(1, logs(6, 1, 1)))
  // Nothing follows.
  comparison.add(at(2, logs(1 / 2, 1 / 4, 1 / 4)), at(2, logs(1 / 2, 1 / 8, 3 / 8)))
  const { kl, perplexity, topOneAgreement, rmsDeltaP, tokens } = comparison.result()
  // sum p log (p / q), by hand.
  const divergences = [(Math.log(2) * 1) / 2 - (Math.log(2) * 1) / 4, 0, Math.log(2) / 4 + Math.log(2 / 3) / 4]
  const mean = divergences.reduce((sum, x) => sum + x, 0) / 3
  const deviation = Math.sqrt(divergences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2)
  expect(tokens).toBe(3)
  expect(kl.mean).toBeCloseTo(mean, 6)
  expect(kl.standardError).toBeCloseTo(deviation / Math.sqrt(3), 6)
  expect(kl.median).toBeCloseTo(divergences[2]!, 6)
  expect(kl.max).toBeCloseTo(divergences[0]!, 6)
  expect(kl.p90).toBeCloseTo(divergences[2]! + 0.8 * (divergences[0]! - divergences[2]!), 6)
  expect(topOneAgreement).toBeCloseTo(2 / 3, 12)
  expect(perplexity!.reference).toBeCloseTo(Math.sqrt(2 * 8), 5)
  expect(perplexity!.other).toBeCloseTo(Math.sqrt(4 * 8), 5)
  expect(perplexity!.ratio).toBeCloseTo(Math.SQRT2, 6)
  expect(rmsDeltaP).toBeCloseTo(Math.sqrt((1 / 4) ** 2 / 2), 6)
})

it('one token alone has no perplexity', () => {
  const comparison = collectComparison([0])
  comparison.add(at(0, [0, 1]), at(0, [0, 1]))
  expect(comparison.result()).toMatchObject({ tokens: 1, perplexity: null, rmsDeltaP: null, kl: { mean: 0, standardError: 0 } })
})
