/** Whether points determine a law's parameters: before the fit by their design, after it by what the losses say. */
import { usageError } from '../errors.ts'
import { type Law, logSetting } from './laws.ts'
import { checkPoints, groupBySize, type Point } from './points.ts'

/** Refuses values that are no measurements, and designs that cannot determine the parameters, whatever the losses; says which and why. */
export function checkDesign(law: Law, points: readonly Point[]): void {
  checkPoints(points)
  const distinct = (key: 'P' | 'D') => new Set(points.map((point) => point[key])).size
  const needed = law.parameters.length
  if (points.length < needed) {
    throw usageError(`the ${law.name} law has ${needed} parameters; ${points.length} points cannot determine them`, {
      expected: needed,
      found: points.length,
    })
  }
  const streamParameters = law.parameters.filter(({ name }) => ['k', 'rho', 'm'].includes(name)).map(({ name }) => name)
  if (streamParameters.length > 0 && distinct('P') < 2) {
    throw usageError(
      `all points have P = ${points[0]!.P}: ${streamParameters.join(' and ')} of the ${law.name} law cannot be determined; add points with another P, or choose a law without streams`,
      { expected: 'at least 2 values of P', found: distinct('P') },
    )
  }
  if (law.needs.includes('D') && points.some(({ D }) => D === undefined)) {
    throw usageError(`the ${law.name} law needs the training tokens D of every point`, { expected: 'column D' })
  }
  // A law with streams can tell two sizes' exponent from its floor, because P moves along the same curve.
  const sizes = { found: groupBySize(points).length, needed: streamParameters.length > 0 ? 2 : 3 }
  if (sizes.found < sizes.needed) {
    throw usageError(
      `E, A and alpha of the ${law.name} law cannot be determined from ${sizes.found} model size(s); at least ${sizes.needed} are needed`,
      {
        expected: sizes.needed,
        found: sizes.found,
      },
    )
  }
  if (law.needs.includes('D') && distinct('D') < 3) {
    throw usageError(
      `B and beta of the ${law.name} law cannot be determined from ${distinct('D')} value(s) of D; at least 3 are needed`,
      {
        expected: 3,
        found: distinct('D'),
      },
    )
  }
}

/** The part of a `Fit` that is used. */
interface FittedLaw {
  readonly law: Law
  readonly points: readonly Point[]
  readonly theta: Float64Array
}

/** A parameter that moves no loss by more than this share has nothing to be determined by. */
const leastEffect = 1e-6

/**
 * Names of the parameters that these losses do not determine, such as A and k where the loss does not fall with N: at the optimum
 * they could be anything. Scale parameters are judged by a change of their own size, the others by a change of 1.
 */
export function undeterminedParameters({ law, points, theta }: FittedLaw): string[] {
  const gradient = new Float64Array(theta.length)
  const effects = new Float64Array(theta.length)
  for (const point of points) {
    const loss = law.evaluate(theta, logSetting(point), gradient)
    for (const [i, { logarithmic }] of law.parameters.entries())
      effects[i] = Math.max(effects[i]!, Math.abs(gradient[i]! * (logarithmic ? theta[i]! : 1)) / loss)
  }
  return law.parameters.filter((_, i) => effects[i]! < leastEffect).map(({ name }) => name)
}
