import { describe, expect, it } from 'vitest'
import { taskConfig } from './config.ts'
import { taskMetrics } from './metrics.ts'
import { compareRuns, mcNemar, wilson } from './statistics.ts'

const [mean] = taskMetrics(
  taskConfig({ task: 't', output_type: 'multiple_choice', doc_to_text: 'q', doc_to_target: 'a', doc_to_choice: 'c' }, 'f'),
)

describe('intervals and pairs', () => {
  // Exact: Python's fractions, 2 sum comb(n, k) / 2^n.
  it.each([
    [1, 9, 0.021484375],
    [0, 10, 0.001953125],
    [5, 5, 1],
    [0, 0, 1],
    [30, 50, 0.03299261842647618],
    [1000, 1100, 0.030720707864242296],
  ])('McNemar of %i and %i', (first, second, pValue) => {
    expect(mcNemar(first, second)).toBeCloseTo(pValue, 5)
    expect(mcNemar(second, first)).toBeCloseTo(pValue, 5)
  })

  // Published values of the interval, of 5 of 10, 0 of 20 and 8 of 8.
  it.each([
    [0.5, 10, 0.2365931, 0.7634069],
    [0, 20, 0, 0.1611252],
    [1, 8, 0.6755927, 1],
  ])('Wilson of %f of %i', (share, count, low, high) => {
    expect(wilson(share, count).low).toBeCloseTo(low, 6)
    expect(wilson(share, count).high).toBeCloseTo(high, 6)
  })

  it('pairs questions: a gain on each is certain, however much questions differ', () => {
    const first = Array.from({ length: 200 }, (_, i) => i % 10)
    const certain = compareRuns(
      mean!.aggregation,
      first,
      first.map((value) => value + 0.1),
    )
    expect(certain.difference).toBeCloseTo(0.1)
    expect(certain.interval.low).toBeCloseTo(0.1)
    expect(certain.interval.high).toBeCloseTo(0.1)
    expect(certain.pValue).toBeLessThan(0.001)
    const none = compareRuns(mean!.aggregation, first, first)
    expect(none).toMatchObject({ difference: 0, pValue: 1 })
  })

  it('counts questions that one of two has right', () => {
    const { onlyFirst, onlySecond, test } = compareRuns(mean!.aggregation, [1, 1, 0, 0, 1], [1, 0, 1, 1, 0])
    expect({ onlyFirst, onlySecond, test }).toEqual({ onlyFirst: 2, onlySecond: 2, test: 'McNemar, exact' })
  })
})
