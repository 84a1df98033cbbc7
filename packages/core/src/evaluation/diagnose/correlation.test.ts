import { expect, test } from 'vitest'
import { laws, lossAt } from '../../law/index.ts'
import { createRandom } from '../../random.ts'
import { correlateStreams } from './correlation.ts'

const vocabulary = 64
/** The floor of what follows: the true distribution is even, so its entropy is that of a fair draw. */
const floor = Math.log(vocabulary)

/**
 * Streams as the paper's theory has them: p (1 + d_i) with residuals of a known correlation. Every token of the
 * vocabulary stands once for each context, so that means over the text are expectations and nothing is left to chance.
 */
function theoryStreams(P: number, rho: number, size: number): { losses: Float64Array[]; ensemble: number } {
  const random = createRandom(P)
  const contexts = 400
  const losses = Array.from({ length: P }, () => new Float64Array(contexts * vocabulary))
  let ensemble = 0
  for (let context = 0; context < contexts; context++) {
    const draw = () => centred(Float64Array.from({ length: vocabulary }, () => random.normal()))
    const shared = draw()
    const residuals = losses.map(() => {
      const own = draw()
      return own.map((x, v) => size * (Math.sqrt(rho) * shared[v]! + Math.sqrt(1 - rho) * x))
    })
    for (let v = 0; v < vocabulary; v++) {
      for (const [i, list] of losses.entries()) list[context * vocabulary + v] = floor - Math.log1p(residuals[i]![v]!)
      ensemble += floor - Math.log1p(residuals.reduce((sum, d) => sum + d[v]!, 0) / P)
    }
  }
  return { losses, ensemble: ensemble / (contexts * vocabulary) }
}

/** Residuals have mean 0 under the true distribution: probabilities sum to 1. */
const centred = (values: Float64Array) => values.map((x) => x - values.reduce((sum, y) => sum + y, 0) / values.length)

test.each([
  [2, 0],
  [2, 0.5],
  [4, 0.9],
  [8, 0.2],
])('finds the residual correlation that %i streams were made with: %f', (P, rho) => {
  const { losses, ensemble } = theoryStreams(P, rho, 0.05)
  const found = correlateStreams(losses, floor)
  // 25,600 draws: a correlation is sure to 0.006; terms of third order are of size 0.05^2.
  for (const [i, row] of found.rho.entries()) for (const [j, x] of row.entries()) expect(x).toBeCloseTo(i === j ? 1 : rho, 1)
  expect(Math.abs(found.meanRho - rho)).toBeLessThan(0.02)
  const alone = losses.flatMap((list) => [...list]).reduce((sum, x) => sum + x, 0) / (P * losses[0]!.length)
  // Of what one stream leaves above the floor, to 2 %.
  expect(Math.abs(found.predictedLoss - ensemble)).toBeLessThan(0.02 * (alone - floor))
})

test('predicts what the law of the correlation does', () => {
  const { losses } = theoryStreams(4, 0.3, 0.05)
  const { meanRho, factor, predictedLoss } = correlateStreams(losses, floor)
  const alone = losses.flatMap((list) => [...list]).reduce((sum, x) => sum + x, 0) / (4 * losses[0]!.length)
  // E, A, alpha, rho at N = 1: A alone is the reducible loss of one stream.
  const law = (rho: number, P: number) => lossAt(laws.correlation, [floor, alone - floor, 1, rho], { N: 1, P })
  expect(predictedLoss).toBeCloseTo(law(meanRho, 4), 12)
  expect(factor).toBeCloseTo((law(meanRho, 4) - floor) / (law(meanRho, 1) - floor), 10)
})

test('a floor that is not known makes rho larger and leaves the predicted loss where it is', () => {
  const { losses } = theoryStreams(4, 0.3, 0.05)
  const [known, unknown] = [correlateStreams(losses, floor), correlateStreams(losses)]
  expect(unknown.meanRho).toBeGreaterThan(known.meanRho)
  expect(Math.abs(unknown.predictedLoss - known.predictedLoss)).toBeLessThan(1e-6)
})

test('the correlation of the losses is Pearson’s', () => {
  const { lossCorrelation } = correlateStreams([Float64Array.of(1, 2, 3), Float64Array.of(1, 2, 4)])
  // Deviations (-1, 0, 1) and (-4/3, -1/3, 5/3): 3 / sqrt(2 * 42/9).
  expect(lossCorrelation[0]![1]).toBeCloseTo(3 / Math.sqrt((2 * 42) / 9), 12)
})

test('streams that say the same have rho 1, and the factor 1', () => {
  const losses = Float64Array.of(0.5, 3, 1.25)
  const { meanRho, factor, predictedLoss } = correlateStreams([losses, losses, losses])
  expect([meanRho, factor]).toEqual([expect.closeTo(1, 12), expect.closeTo(1, 12)])
  expect(predictedLoss).toBeCloseTo(4.75 / 3, 12)
})

test('refuses a floor above a loss, naming the stream', () => {
  const losses = [Float64Array.of(3, 3), Float64Array.of(2, 2)]
  expect(() => correlateStreams(losses, 2.5)).toThrow(
    '--floor 2.5: must be below the loss of every stream alone; stream 2 has 2.0000',
  )
})
