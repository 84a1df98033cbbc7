import { expect, it } from 'vitest'
import { blockChart } from './block-chart.ts'

it('draws the mean of each column, from the lowest value to the highest', () => {
  expect(blockChart([4, 3, 2, 1], 40, 2)).toBe('4.000 |█▃\n1.000 |██▆▁')
  expect(blockChart([8, 8, 4, 4, 0, 0], 10, 2)).toBe('8.000 |█▁\n0.000 |██▁')
})

it('keeps its width however long the run is, and takes a single value', () => {
  const chart = blockChart(
    Array.from({ length: 200_000 }, (_, i) => 1 / (i + 1)),
    40,
  )
  expect(Math.max(...chart.split('\n').map((line) => line.length))).toBeLessThanOrEqual(40)
  expect(blockChart([2.5], 40, 2)).toBe('2.500 |\n2.500 |▁')
})
