import { describe, expect, test } from 'vitest'
import { bootstrap, intervalOf, parameterIntervals } from './bootstrap.ts'
import { fitLaw } from './fit.ts'
import { laws, lossAt } from './laws.ts'
import { shortNumber } from './points.ts'
import { equivalentParameters, equivalentStreams, predictLoss } from './predict.ts'
import { publishedPoints } from './published.ts'

const log = fitLaw(laws.log, publishedPoints('stack-v2-python'))
const correlation = fitLaw(laws.correlation, publishedPoints('stack-v2-python'))
const N = 1571472384

describe('inverses against the closed forms', () => {
  test('log law: N (k ln P + 1), and exp((N2 / N - 1) / k)', () => {
    const k = log.params.k!
    expect(equivalentParameters(log, { N, P: 8 }).value / (N * (k * Math.log(8) + 1))).toBeCloseTo(1, 10)
    expect(equivalentStreams(log, { N }, 1.5 * N).value / Math.exp(0.5 / k)).toBeCloseTo(1, 10)
  })

  test('correlation law: N c^(-1/alpha) with c = ((P - 1) rho + 1) / P', () => {
    const { rho, alpha } = correlation.params as { rho: number; alpha: number }
    expect(equivalentParameters(correlation, { N, P: 4 }).value / (N * ((3 * rho + 1) / 4) ** (-1 / alpha))).toBeCloseTo(1, 10)
    const c = 1.2 ** -alpha
    expect(equivalentStreams(correlation, { N }, 1.2 * N).value / ((1 - rho) / (c - rho))).toBeCloseTo(1, 8)
  })

  test('no number of streams makes up for a much larger model where residuals are correlated', () => {
    const { value, warnings } = equivalentStreams(correlation, { N }, 100 * N)
    expect(value).toBe(Infinity)
    expect(warnings.at(-1)).toBe('no number of streams up to 1B reaches that loss')
  })

  test('no single-stream size makes up for data that streams stretch', () => {
    const law = laws['joint-log-data']
    const theta = [0.7, 2e7, 0.2, 0.4, 1e9, 0.3, 2]
    const design = [1e9, 4e9, 1.6e10].flatMap((n) => [1, 8].flatMap((P) => [1e9, 1e10, 1e11].map((D) => ({ N: n, P, D }))))
    const points = design.map((point) => ({ ...point, loss: lossAt(law, theta, point) }))
    const { value, warnings } = equivalentParameters(fitLaw(law, points, [theta]), { N: 1.6e10, P: 8, D: 1e9 })
    expect(value).toBe(Infinity)
    expect(warnings).toEqual(['no size reaches that loss with one stream'])
  })

  test('P = 1 is worth itself', () => {
    expect(equivalentParameters(log, { N, P: 1 }).value / N).toBeCloseTo(1, 12)
    expect(equivalentStreams(log, { N }, N).value).toBe(1)
  })

  test('a joint law compares at equal D', () => {
    const design = [1e9, 2e9, 4e9, 8e9].flatMap((n) => [1, 2, 4].flatMap((P) => [1e10, 1e11, 1e12].map((D) => ({ N: n, P, D }))))
    const theta = [0.7, 2e7, 0.2, 0.4, 1e9, 0.3, 0.2]
    const joint = fitLaw(
      laws['joint-log-data'],
      design.map((point) => ({ ...point, loss: lossAt(laws['joint-log-data'], theta, point) })),
      [theta],
    )
    const { value } = equivalentParameters(joint, { N: 2e9, P: 4, D: 1e11 })
    expect(lossAt(joint.law, joint.theta, { N: value, P: 1, D: 1e11 })).toBeCloseTo(
      lossAt(joint.law, joint.theta, { N: 2e9, P: 4, D: 1e11 }),
      12,
    )
    expect(() => predictLoss(joint, { N: 2e9, P: 4 })).toThrow('needs the number of training tokens D')
  })
})

describe('warnings', () => {
  test('none inside the fitted range, one per quantity that leaves it', () => {
    expect(predictLoss(log, { N, P: 8 }).warnings).toEqual([])
    expect(predictLoss(log, { N, P: 16 }).warnings).toEqual(['P = 16 is outside the fitted range 1 to 8: extrapolated'])
    expect(predictLoss(log, { N: 7e10, P: 3 }).warnings).toEqual([
      'N = 70B is outside the fitted range 536M to 4.41B: extrapolated',
    ])
    expect(equivalentParameters(log, { N: 4.4e9, P: 8 }).warnings[0]).toContain('N = 8B is outside')
    expect(equivalentStreams(log, { N }, 4e9).warnings[0]).toContain('P = ')
  })

  test('short numbers', () => {
    expect([1, 8, 1571472384, 42e9, 1e12, 999_999_999, 5e6].map(shortNumber)).toEqual([
      '1',
      '8',
      '1.57B',
      '42B',
      '1T',
      '1B',
      '5M',
    ])
  })
})

describe('bootstrap', () => {
  const thetas = bootstrap(log, { count: 200, seed: 9 })

  test('is the same for the same seed', () => {
    expect(bootstrap(log, { count: 3, seed: 9 })).toEqual(thetas.slice(0, 3))
    expect(bootstrap(log, { count: 3, seed: 10 })).not.toEqual(thetas.slice(0, 3))
  })

  test('intervals contain the estimate and what the paper prints', () => {
    const intervals = parameterIntervals(log, thetas)
    for (const [name, printed] of Object.entries({ E: 0.6912, A: 1.131e7, alpha: 0.1894, k: 0.3935 })) {
      expect(intervals[name]!.low).toBeLessThan(printed)
      expect(intervals[name]!.high).toBeGreaterThan(printed)
    }
    const inside = predictLoss(log, { N, P: 4 }, thetas)
    const outside = predictLoss(log, { N: 1e11, P: 64 }, thetas)
    const width = ({ interval }: typeof inside) => interval!.high - interval!.low
    expect(width(inside)).toBeLessThan(0.006)
    expect(width(outside)).toBeGreaterThan(3 * width(inside))
  })

  test('reports progress and needs spare points', () => {
    const seen: number[] = []
    bootstrap(log, { count: 3, seed: 1, onProgress: (done) => seen.push(done) })
    expect(seen).toEqual([1, 2, 3])
    const four = publishedPoints('pile').filter((_, i) => [0, 3, 8, 22].includes(i))
    expect(() => bootstrap(fitLaw(laws.log, four), { count: 1, seed: 1 })).toThrow('needs more points than the 4 parameters')
  })

  test('an interval about the median of the values is their plain percentiles; bias moves it', () => {
    const values = Array.from({ length: 1001 }, (_, i) => i / 1000)
    const { low, high } = intervalOf(0.5, values, 0.9)
    expect([low, high]).toEqual([expect.closeTo(0.05, 8), expect.closeTo(0.95, 8)])
    // A tenth below: bias z = -1.28, so the ends lie at Phi(-2.56 -+ 1.64).
    const moved = intervalOf(0.1, values, 0.9)
    expect([moved.low, moved.high]).toEqual([expect.closeTo(0.0000129, 5), expect.closeTo(0.1793, 2)])
    expect(intervalOf(2, [1, 3, Infinity, 1, 3, 2], 0.95).high).toBe(Infinity)
  })
})
