import { expect, test } from 'vitest'
import { createRandom } from '../../random.ts'
import { isSpike, type LossStatistics, noLosses, withLoss, withSpike } from './loss-spikes.ts'

/** Statistics of losses around 3 with a spread of 0.1. */
function steady(count: number): LossStatistics {
  const random = createRandom(5)
  let losses = noLosses
  for (let i = 0; i < count; i++) losses = withLoss(losses, 3 + 0.1 * random.normal())
  return losses
}

test('mean and spread are those of the losses', () => {
  const few = [2, 4, 9].reduce(withLoss, noLosses)
  expect(few.mean).toBeCloseTo(5, 12)
  expect(few.variance).toBeCloseTo((9 + 1 + 16) / 3, 12)
  const { mean, variance } = steady(2000)
  expect(Math.abs(mean - 3)).toBeLessThan(0.05)
  expect(Math.abs(Math.sqrt(variance) - 0.1)).toBeLessThan(0.03)
})

test('a spike is far above them, and nothing is one while there are few', () => {
  expect(isSpike(steady(200), 3.2, 6)).toBe(false)
  expect(isSpike(steady(200), 5, 6)).toBe(true)
  expect(isSpike(steady(200), 1, 6)).toBe(false)
  expect(isSpike(steady(20), 5, 6)).toBe(false)
})

test('one spike leaves the next one a spike; losses that stay high are taken again after some steps', () => {
  let losses = withSpike(steady(200), 6)
  expect(isSpike(losses, 5, 6)).toBe(true)
  let skipped = 1
  for (; isSpike(losses, 5, 6); skipped++) losses = withSpike(losses, 6)
  expect(skipped).toBeGreaterThan(3)
  expect(skipped).toBeLessThan(20)
})
