/**
 * What a fitted law says about models that were not trained: the loss of (N, P, D), and what its streams are worth in
 * parameters, each with the bootstrap's interval and a warning where the question leaves the fitted range.
 */
import { extentOf } from '../spread.ts'
import { type BootstrapThetas, type Interval, intervalOf } from './bootstrap.ts'
import type { Fit } from './fit.ts'
import { type Law, lossAt } from './laws.ts'
import { checkSetting, type Setting, shortNumber } from './points.ts'

/** A prediction with its interval and warnings. */
export interface Estimate {
  readonly value: number
  /** Of the law's curve, not of a single training run, which scatters about it. Undefined without a bootstrap. */
  readonly interval: Interval | undefined
  /** One plain sentence for each way in which the fitted range is left; empty inside it. */
  readonly warnings: readonly string[]
}

/** More streams than this are not looked for: the answer is then Infinity, "no number of streams". */
const maxStreams = 1e9

/** The loss that a fit predicts for a setting, with the interval of the bootstrap. */
export function predictLoss(fit: Fit, setting: Setting, thetas: BootstrapThetas = []): Estimate {
  return estimate(fit, thetas, (theta) => lossAt(fit.law, theta, setting), rangeWarnings(fit, setting))
}

/** The N at P = 1 with the same loss as `setting`; Infinity where no size reaches it. */
export function equivalentParameters(fit: Fit, setting: Setting, thetas: BootstrapThetas = []): Estimate {
  const found = estimate(fit, thetas, (theta) => singleStreamN(fit.law, theta, setting), rangeWarnings(fit, setting))
  if (found.value === Infinity) return { ...found, warnings: [...found.warnings, 'no size reaches that loss with one stream'] }
  return { ...found, warnings: [...found.warnings, ...rangeWarnings(fit, { N: found.value, P: 1 })] }
}

/** The P, as a real number, at which `setting` (its own P is ignored) has the loss of `largerN` at P = 1. */
export function equivalentStreams(
  fit: Fit,
  { N, D }: Omit<Setting, 'P'>,
  largerN: number,
  thetas: BootstrapThetas = [],
): Estimate {
  const solve = (theta: ArrayLike<number>) =>
    streamsFor(fit.law, theta, { N, D }, lossAt(fit.law, theta, { N: largerN, P: 1, D }))
  const found = estimate(fit, thetas, solve, rangeWarnings(fit, { N: largerN, P: 1, D }))
  if (found.value === Infinity)
    return { ...found, warnings: [...found.warnings, `no number of streams up to ${shortNumber(maxStreams)} reaches that loss`] }
  return { ...found, warnings: [...found.warnings, ...rangeWarnings(fit, { N, P: found.value })] }
}

/** Says in which way a setting lies outside the points that the law was fitted to. */
export function rangeWarnings({ points }: Fit, setting: Setting): string[] {
  checkSetting(setting)
  const warnings: string[] = []
  for (const key of ['N', 'P', 'D'] as const) {
    const value = setting[key]
    const fitted = points.map((point) => point[key]).filter((x) => x !== undefined)
    if (value === undefined || fitted.length === 0) continue
    const [low, high] = extentOf(fitted)
    if (value < low || value > high) {
      warnings.push(
        `${key} = ${shortNumber(value)} is outside the fitted range ${shortNumber(low)} to ${shortNumber(high)}: extrapolated`,
      )
    }
  }
  return warnings
}

function estimate(
  { theta }: Fit,
  thetas: BootstrapThetas,
  question: (theta: ArrayLike<number>) => number,
  warnings: readonly string[],
): Estimate {
  const value = question(theta)
  return { value, interval: thetas.length === 0 ? undefined : intervalOf(value, thetas.map(question)), warnings }
}

function singleStreamN(law: Law, theta: ArrayLike<number>, setting: Setting): number {
  const loss = lossAt(law, theta, setting)
  return increasingRoot(
    (lnN) => loss - lossAt(law, theta, { ...setting, N: Math.exp(lnN), P: 1 }),
    Math.log(setting.N),
    Math.log(1e30),
  )
}

function streamsFor(law: Law, theta: ArrayLike<number>, setting: Omit<Setting, 'P'>, loss: number): number {
  return increasingRoot((lnP) => loss - lossAt(law, theta, { ...setting, P: Math.exp(lnP) }), 0, Math.log(maxStreams))
}

/**
 * exp of the root of an increasing function of a logarithm, by bisection between `low` and `high`; exp(low) if the root lies
 * below, Infinity if the function is still negative at `high`.
 */
export function increasingRoot(f: (x: number) => number, low: number, high: number): number {
  if (f(low) >= 0) return Math.exp(low)
  if (f(high) < 0) return Infinity
  let [below, above] = [low, high]
  for (let i = 0; i < 100 && above - below > 1e-15 * above; i++) {
    const middle = (below + above) / 2
    if (f(middle) < 0) below = middle
    else above = middle
  }
  return Math.exp((below + above) / 2)
}
