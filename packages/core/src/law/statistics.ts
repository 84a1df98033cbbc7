/**
 * Which law fits better, with the number of parameters held against it.
 *
 * Likelihoods must belong to what was minimised, else a law with one more parameter could come out less likely. The fit is
 * the maximum of the density f(r) = exp(-Huber(r) / s) / Z(s) over residuals r of ln(loss), with its own best scale s:
 *   -ln likelihood = n ln Z(s) + objective / s
 *   Z(s) = sqrt(2 pi s) erf(delta / sqrt(2 s)) + (2 s / delta) exp(-delta^2 / (2 s))
 * A point of weight w has the scale s / w, as the mean of w runs has; n is the number of points, whatever their weights.
 */

import { usageError } from '../errors.ts'
import { extentOf } from '../spread.ts'
import { type Fit, fitLaw, huberDelta } from './fit.ts'
import { logSetting } from './laws.ts'
import { erfc } from './normal.ts'
import { groupBySize } from './points.ts'

export interface Comparison {
  readonly fit: Fit
  /** 2 p - 2 ln likelihood, p counting the scale of the noise too. Lower is better. */
  readonly aic: number
  /** p ln n - 2 ln likelihood. */
  readonly bic: number
  /** Root mean square of ln(predicted / loss) for sizes that the law was not shown; undefined with too few sizes left. */
  readonly leaveOneSizeOutError: number | undefined
}

/** Fits side by side: AIC, BIC and the error on sizes left out. */
export function compareFits(fits: readonly Fit[]): Comparison[] {
  return fits.map((fit) => {
    const logLikelihood = huberLogLikelihood(fit)
    const parameters = fit.law.parameters.length + 1
    return {
      fit,
      aic: 2 * parameters - 2 * logLikelihood,
      bic: parameters * Math.log(fit.points.length) - 2 * logLikelihood,
      leaveOneSizeOutError: leaveOneSizeOut(fit),
    }
  })
}

export interface LikelihoodRatio {
  /** Twice the gain in log-likelihood. */
  readonly statistic: number
  /** Chance of such a gain if the smaller law held. */
  readonly pValue: number
}

/**
 * Test of a law against the one nested in it by a single parameter at the edge of its range (k = 0, rho = 1, m = 0):
 * half of a chi-square with one degree of freedom (S. Self, K. Liang, JASA 82, 1987).
 */
export function likelihoodRatio(larger: Fit, nested: Fit): LikelihoodRatio {
  if (larger.law.nested !== nested.law.name)
    throw usageError(`the ${nested.law.name} law is not nested in the ${larger.law.name} law by one parameter`)
  const statistic = Math.max(0, 2 * (huberLogLikelihood(larger) - huberLogLikelihood(nested)))
  return { statistic, pValue: erfc(Math.sqrt(statistic / 2)) / 2 }
}

/** Refits without each size in turn; the error is on the size left out. Undefined if the rest would not determine the law. */
export function leaveOneSizeOut({ law, points, theta: start }: Fit): number | undefined {
  const sizes = groupBySize(points)
  const smallest = points.length - extentOf(sizes.map((size) => size.length))[1]
  if (sizes.length < 4 || smallest < law.parameters.length) return undefined
  const squares = sizes.flatMap((size) => {
    const rest = points.filter((point) => !size.includes(point))
    const { theta } = fitLaw(law, rest, [start])
    return size.map((point) => Math.log(law.evaluate(theta, logSetting(point)) / point.loss) ** 2)
  })
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length)
}

/** Highest log-likelihood over the scale s; the search is by golden section over ln s, where the function has one peak. */
function huberLogLikelihood({ objective, points }: Fit): number {
  const at = (lnScale: number) => {
    const scale = Math.exp(lnScale)
    return points.reduce((sum, { weight = 1 }) => sum - Math.log(normaliser(scale / weight)), -objective / scale)
  }
  // s lies between the scale of a Gaussian and that of a Laplace distribution with this objective, both about objective / n.
  const centre = Math.log(Math.max(objective / points.length, Number.MIN_VALUE * 1e20))
  let [low, high] = [centre - 10, centre + 10]
  const golden = (Math.sqrt(5) - 1) / 2
  while (high - low > 1e-10) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)]
    if (at(left) > at(right)) high = right
    else low = left
  }
  return at((low + high) / 2)
}

function normaliser(scale: number): number {
  const x = huberDelta / Math.sqrt(2 * scale)
  return Math.sqrt(2 * Math.PI * scale) * (1 - erfc(x)) + ((2 * scale) / huberDelta) * Math.exp(-x * x)
}
