import { describe, expect, test } from 'vitest'
import { createRandom } from '../random.ts'
import { fitLaw, huberDelta } from './fit.ts'
import { laws, lossAt } from './laws.ts'
import { groupBySize } from './points.ts'
import { publishedPoints } from './published.ts'
import { compareFits, leaveOneSizeOut, likelihoodRatio } from './statistics.ts'

test('the six published sizes are six groups of four', () => {
  expect(groupBySize(publishedPoints('pile')).map((group) => group.map(({ P }) => P))).toEqual(new Array(6).fill([1, 2, 4, 8]))
})

describe('on the published points', () => {
  const fits = (['log', 'correlation', 'power'] as const).map((name) => fitLaw(laws[name], publishedPoints('pile')))
  const [log, correlation, power] = compareFits(fits)

  test('the log law is preferred, as the paper says', () => {
    expect(log!.aic).toBeLessThan(correlation!.aic)
    expect(correlation!.aic).toBeLessThan(power!.aic)
    expect(log!.bic - correlation!.bic).toBeCloseTo(log!.aic - correlation!.aic, 10) // same number of parameters
    expect(log!.leaveOneSizeOutError).toBeLessThan(power!.leaveOneSizeOutError!)
  })

  test('AIC is the likelihood of the density that the fit maximises, integrated numerically', () => {
    // Density of ln-residuals exp(-Huber / s) / Z(s) with Z by Simpson's rule and s by scanning.
    const { objective, points } = fits[0]!
    const huber = (r: number) => (Math.abs(r) <= huberDelta ? (r * r) / 2 : huberDelta * (Math.abs(r) - huberDelta / 2))
    const normaliser = (scale: number) => {
      const [limit, steps] = [(60 * scale) / huberDelta + huberDelta, 40_000]
      let sum = 0
      for (let i = 0; i <= steps; i++)
        sum += (i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-huber((i / steps) * limit) / scale)
      return (2 * sum * limit) / steps / 3
    }
    const scales = Array.from({ length: 61 }, (_, i) => (objective / points.length) * 2 ** ((i - 30) / 15))
    const best = Math.max(...scales.map((scale) => -points.length * Math.log(normaliser(scale)) - objective / scale))
    expect(log!.aic).toBeCloseTo(2 * 5 - 2 * best, 1)
  })

  test('weights: only their ratios count, and all alike is none', () => {
    const weighted = (weight: number) => {
      const points = publishedPoints('pile').map((point, i) => ({ ...point, weight: i < 6 ? 2 * weight : weight }))
      return compareFits([fitLaw(laws.log, points, [fits[0]!.theta])])[0]!
    }
    expect(weighted(3).bic).toBeCloseTo(weighted(1).bic, 6)
    const alike = fits[0]!.points.map((point) => ({ ...point, weight: 5 }))
    expect(compareFits([fitLaw(laws.log, alike, [fits[0]!.theta])])[0]!.aic).toBeCloseTo(log!.aic, 6)
  })

  test('streams matter: the likelihood ratio against parameters only', () => {
    expect(likelihoodRatio(fits[0]!, fits[2]!).pValue).toBeLessThan(1e-10)
    expect(() => likelihoodRatio(fits[0]!, fits[1]!)).toThrow('not nested')
  })

  test('leave-one-size-out needs four sizes', () => {
    const three = publishedPoints('pile').filter((_, i) => i % 6 < 3)
    expect(leaveOneSizeOut(fitLaw(laws.log, three))).toBeUndefined()
  })
})

test('the likelihood ratio is calibrated: where streams do nothing, p < 0.1 comes about one time in ten', () => {
  const truth = fitLaw(laws.power, publishedPoints('pile').slice(0, 6)).theta
  const random = createRandom(5)
  const runs = 200
  let rejected = 0
  for (let i = 0; i < runs; i++) {
    const points = publishedPoints('pile').map((point) => {
      return { ...point, loss: lossAt(laws.power, truth, point) * Math.exp(0.003 * random.normal()) }
    })
    const [log, power] = [fitLaw(laws.log, points, [[...truth, 0.01]]), fitLaw(laws.power, points, [truth])]
    if (likelihoodRatio(log, power).pValue < 0.1) rejected++
  }
  expect(rejected / runs).toBeGreaterThan(0.04)
  expect(rejected / runs).toBeLessThan(0.2) // 24 points and 4 parameters: somewhat above the nominal 0.1
})
