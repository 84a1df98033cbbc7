/** The figures of a fit: loss against N for each P with the fitted curve and its band, contours over N and P, and residuals. */
import { extentOf } from '../../spread.ts'
import { type BootstrapThetas, intervalOf } from '../bootstrap.ts'
import type { Fit } from '../fit.ts'
import { lossAt } from '../laws.ts'
import { type Setting, shortNumber } from '../points.ts'
import { increasingRoot } from '../predict.ts'
import type { Chart, Series, XY } from './chart.ts'

const curvePoints = 60
const contourLevels = 9

/** Loss against N, a series per P. Joint laws are drawn at the largest D of the data. The band needs a bootstrap. */
export function fitChart(fit: Fit, thetas: BootstrapThetas = []): Chart {
  const D = largestD(fit)
  const grid = spaced(...extentOf(fit.points.map(({ N }) => N)), curvePoints)
  const series = streamsOf(fit).map((P): Series => {
    const loss = (theta: ArrayLike<number>, N: number) => lossAt(fit.law, theta, { N, P, D })
    return {
      name: `P = ${P}`,
      line: grid.map((N): XY => [N, loss(fit.theta, N)]),
      dots: fit.points.filter((point) => point.P === P && (D === undefined || point.D === D)).map(({ N, loss }): XY => [N, loss]),
      band:
        thetas.length === 0
          ? undefined
          : grid.map((N) => {
              const { low, high } = intervalOf(
                loss(fit.theta, N),
                thetas.map((theta) => loss(theta, N)),
              )
              return [N, low, high] as const
            }),
    }
  })
  const at = D === undefined ? '' : ` at D = ${shortNumber(D)}`
  return {
    title: `${fit.law.title}${at}`,
    x: { label: 'parameters N', scale: 'log' },
    y: { label: 'loss', scale: 'linear' },
    series,
  }
}

/** Lines of equal loss over N and P within the fitted range, as in the paper's Figures 2 and 3. */
export function contourChart(fit: Fit): Chart {
  const D = largestD(fit)
  const [lowN, highN] = extentOf(fit.points.map(({ N }) => N))
  const [lowP, highP] = extentOf(fit.points.map(({ P }) => P))
  const loss = (setting: Setting) => lossAt(fit.law, fit.theta, { ...setting, D })
  const [best, worst] = [loss({ N: highN, P: highP }), loss({ N: lowN, P: lowP })]
  const series = Array.from({ length: contourLevels }, (_, i): Series => {
    const level = worst - ((i + 1) / (contourLevels + 1)) * (worst - best)
    const line = spaced(lowP, highP, curvePoints).flatMap((P): XY[] => {
      const N = increasingRoot((lnN) => level - loss({ N: Math.exp(lnN), P }), Math.log(lowN), Math.log(highN))
      return N > lowN && N < Infinity ? [[N, P]] : []
    })
    return { name: level.toFixed(3), line, endLabel: level.toFixed(3) }
  })
  return {
    title: 'Lines of equal loss',
    x: { label: 'parameters N', scale: 'log' },
    y: { label: 'streams P', scale: 'log', ticks: streamsOf(fit) },
    series: [
      { name: 'measured', dots: fit.points.map(({ N, P }): XY => [N, P]), background: true },
      ...series.filter(({ line = [] }) => line.length > 1),
    ],
  }
}

/** predicted - loss against N, a series per P. */
export function residualChart(fit: Fit): Chart {
  const zero = extentOf(fit.points.map(({ N }) => N)).map((N): XY => [N, 0])
  const series = streamsOf(fit).map((P): Series => {
    const dots = fit.residuals.filter(({ point }) => point.P === P).map(({ point, error }): XY => [point.N, error])
    return { name: `P = ${P}`, dots }
  })
  return {
    title: 'Residuals',
    x: { label: 'parameters N', scale: 'log' },
    y: { label: 'predicted - loss', scale: 'linear' },
    series: [{ name: 'zero', line: zero, background: true }, ...series],
  }
}

const streamsOf = ({ points }: Fit) => [...new Set(points.map(({ P }) => P))].sort((a, b) => a - b)

const largestD = ({ law, points }: Fit) => (law.needs.includes('D') ? extentOf(points.map(({ D }) => D!))[1] : undefined)

/** Geometrically spaced from low to high, both included. */
const spaced = (low: number, high: number, count: number) =>
  Array.from({ length: count }, (_, i) => low * (high / low) ** (i / (count - 1)))
