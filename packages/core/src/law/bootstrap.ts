/**
 * How sure a fit is: refits to losses drawn anew around the fitted law.
 *
 * Residual bootstrap (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, section 9.4): the design of sizes and P
 * stays, the residuals of ln(loss), centred and widened by sqrt(n / (n - parameters)), are dealt out again with replacement.
 * Drawing whole points instead would now and then leave a P or a size out. The residuals are smoothed by a normal kernel:
 * Huber's fit runs exactly through some points, as medians do, and their zeros would make plain refits agree too well
 * (D. De Angelis, P. Hall, G. Young, JASA 88, 1993). docs/law.md has the measured coverage.
 */
import { usageError } from '../errors.ts'
import { createRandom } from '../random.ts'
import { ascending, quantile } from '../spread.ts'
import { type Fit, fittingLaw } from './fit.ts'
import { normalCdf, normalQuantile } from './normal.ts'
import type { Point } from './points.ts'

/** How often a fit is repeated, and with which seed. */
export interface BootstrapOptions {
  /** Refits; 1,000 give two digits of a 95 % interval. */
  readonly count: number
  readonly seed: number
  /** Called after each refit with how many are done. */
  readonly onProgress?: (done: number) => void
}

/** Parameters of each refit, in the order of `law.parameters`. */
export type BootstrapThetas = readonly Float64Array[]

/** A confidence interval. */
export interface Interval {
  readonly low: number
  readonly high: number
}

/** Throws what `bootstrapRefits` throws. */
export function bootstrap(fit: Fit, { count, seed, onProgress }: BootstrapOptions): BootstrapThetas {
  if (!Number.isSafeInteger(count) || count < 1)
    throw usageError(`count must be a whole number of at least 1, got ${count}`, { flag: 'count', found: count })
  const refits = bootstrapRefits(fit, seed)
  return Array.from({ length: count }, (_, i) => {
    let theta: Float64Array | undefined
    while (!theta) theta = refits.next().value
    onProgress?.(i + 1)
    return theta
  })
}

/**
 * Refits one after another without end, for whoever must stay responsive in between: undefined where one is under way. Throws a usage error if there are no more
 * points than parameters, for then nothing is left to estimate noise from.
 */
export function* bootstrapRefits(fit: Fit, seed: number): Generator<Float64Array | undefined, never> {
  const [n, p] = [fit.points.length, fit.law.parameters.length]
  if (n <= p)
    throw usageError(`a bootstrap needs more points than the ${p} parameters of the ${fit.law.name} law, got ${n}`, { found: n })
  const random = createRandom(seed)
  const noise = standardisedResiduals(fit)
  const kernel = 1.06 * standardDeviation(noise) * n ** -0.2 // B. Silverman, Density Estimation, 1986, Equation 3.28
  for (;;) {
    const points = fit.residuals.map(({ point, predicted }): Point => {
      const spread = 1 / Math.sqrt(point.weight ?? 1)
      return { ...point, loss: predicted * Math.exp((noise[random.below(n)]! + kernel * random.normal()) * spread) }
    })
    const refit = fittingLaw(fit.law, points, [fit.theta])
    let step = refit.next()
    for (; !step.done; step = refit.next()) yield undefined
    yield step.value.theta
  }
}

function standardisedResiduals({ residuals, law }: Fit): number[] {
  const raw = residuals.map(({ point, predicted }) => Math.log(point.loss / predicted) * Math.sqrt(point.weight ?? 1))
  const mean = raw.reduce((sum, r) => sum + r, 0) / raw.length
  const widen = Math.sqrt(raw.length / (raw.length - law.parameters.length))
  return raw.map((r) => (r - mean) * widen)
}

/**
 * Bias-corrected percentile interval (B. Efron, Canadian J. Statist. 9, 1981): the middle `level` of the refits' values, moved
 * by how far their median lies from the estimate.
 */
export function intervalOf(estimate: number, values: readonly number[], level = 0.95): Interval {
  if (values.length === 0) throw usageError('an interval needs the values of at least one refit; got none', { found: 0 })
  if (!(level > 0 && level < 1)) throw usageError(`level must lie between 0 and 1, got ${level}`, { flag: 'level', found: level })
  const sorted = values.toSorted(ascending)
  const below = sorted.filter((value) => value < estimate).length
  const notAbove = sorted.filter((value) => value <= estimate).length
  const share = (below + notAbove) / 2 / sorted.length
  const bias = normalQuantile(Math.min(Math.max(share, 0.5 / sorted.length), 1 - 0.5 / sorted.length))
  const z = normalQuantile((1 + level) / 2)
  return { low: quantile(sorted, normalCdf(2 * bias - z)), high: quantile(sorted, normalCdf(2 * bias + z)) }
}

/** Interval of every parameter, by name. */
export function parameterIntervals(fit: Fit, thetas: BootstrapThetas, level = 0.95): Record<string, Interval> {
  const interval = (i: number) =>
    intervalOf(
      fit.theta[i]!,
      thetas.map((theta) => theta[i]!),
      level,
    )
  return Object.fromEntries(fit.law.parameters.map(({ name }, i) => [name, interval(i)]))
}

const standardDeviation = (centred: readonly number[]) => Math.sqrt(centred.reduce((sum, x) => sum + x * x, 0) / centred.length)
