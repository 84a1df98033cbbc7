import fc from 'fast-check'
import { expect, test } from 'vitest'
import { quantile, spreadOf } from './spread.ts'

/**
 * Expected: numpy 2.4.6,
 *   python -c "import numpy; print(numpy.quantile([3.25, -1.5, 8, 0.125, 2.75, 100, 2.75, -7.5], [0, 0.05, 0.25, 1/3, 0.5, 0.9, 0.99, 1]).tolist())"
 * and the same without the last value.
 */
const values = [3.25, -1.5, 8, 0.125, 2.75, 100, 2.75, -7.5]
const shares = [0, 0.05, 0.25, 1 / 3, 0.5, 0.9, 0.99, 1]

test.each([
  [
    'an even number of values',
    values,
    [-7.5, -5.4, -0.28125, 0.9999999999999992, 2.75, 35.59999999999998, 93.55999999999997, 100],
  ],
  ['an odd number', values.slice(0, 7), [-1.5, -1.0125, 1.4375, 2.75, 2.75, 44.80000000000003, 94.47999999999996, 100]],
  ['one', [3.25], shares.map(() => 3.25)],
])('quantiles as numpy gives them: %s', (_, list, expected) => {
  const sorted = list.toSorted((a, b) => a - b)
  for (const [i, share] of shares.entries()) expect(quantile(sorted, share)).toBeCloseTo(expected[i]!, 12)
})

test('a spread is quantiles of values in any order', () => {
  const expected = { min: -7.5, lowerQuartile: -0.28125, median: 2.75, upperQuartile: 4.4375, max: 100, samples: 8 }
  fc.assert(
    fc.property(fc.shuffledSubarray(values, { minLength: values.length }), (shuffled) => {
      expect(spreadOf(shuffled)).toEqual(expected)
    }),
    { seed: 1, numRuns: 50 },
  )
})

test('infinite values are values', () => {
  expect(spreadOf([Infinity, 1, Infinity, 2, Infinity])).toMatchObject({ min: 1, median: Infinity, max: Infinity })
})

test('no values have none', () => {
  expect(() => spreadOf([])).toThrow(/no values; measure at least one/)
})
