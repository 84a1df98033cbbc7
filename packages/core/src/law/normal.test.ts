import { expect, test } from 'vitest'
import { erfc, normalCdf, normalQuantile } from './normal.ts'

test('erfc against scipy 1.17.1, scipy.special.erfc', () => {
  const table: [number, number][] = [
    [0, 1],
    [0.1, 0.8875370839817152],
    [1, 0.15729920705028513],
    [2.4, 0.0006885138966450789],
    [2.6, 0.000236034416529349],
    [4, 1.541725790028002e-8],
    [8, 1.1224297172982928e-29],
  ]
  for (const [x, expected] of table) expect(erfc(x) / expected).toBeCloseTo(1, 11)
})

test('quantiles of tables, and back', () => {
  expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 10)
  expect(normalQuantile(0.5)).toBeCloseTo(0, 10)
  for (const x of [-6, -1.3, 0.2, 3]) expect(normalQuantile(normalCdf(x))).toBeCloseTo(x, 5)
})
