/**
 * Fits a law to points: Huber loss on ln(loss), bounded quasi-Newton from many starts, the lowest end wins.
 * Objective, bounds and starts are those of the published script (fixtures/law/scaling-law.json, `procedure`); gradients are
 * exact here, so the optimum is reached more closely.
 */
import { finish } from '../steps.ts'
import { checkDesign } from './identified.ts'
import { checkTheta, type Law, logSetting } from './laws.ts'
import { type Bounds, type Minimum, minimising, type Objective } from './minimise.ts'
import { checkPoints, type Point } from './points.ts'

/** Residuals of ln(loss) beyond this count linearly. */
export const huberDelta = 0.001

/** At most this many starts: laws of up to four parameters use their whole grid, larger ones an even sample of it. */
const maxStarts = 300

/** How many of the lowest ends are followed to full precision. */
const polished = 8

export interface Residual {
  readonly point: Point
  readonly predicted: number
  /** predicted - loss */
  readonly error: number
}

/** A law fitted to points. */
export interface Fit {
  readonly law: Law
  readonly points: readonly Point[]
  /** In the order of `law.parameters`. */
  readonly theta: Float64Array
  /** By name; A in parameters, B in tokens. */
  readonly params: Readonly<Record<string, number>>
  /** Sum over points of weight * Huber(ln loss - ln predicted). */
  readonly objective: number
  /** 1 - (weighted) sum of squared errors over that about the mean, on plain losses. */
  readonly r2: number
  readonly residuals: readonly Residual[]
  readonly starts: number
  /** Starts that ended within 1 % of the lowest objective. */
  readonly startsNearBest: number
}

/**
 * Throws a usage error for values that are no measurements, and where the points cannot determine the law's parameters.
 * @param starts places to begin from, as theta; absent: the law's grid in units of the data
 * @param limits of theta; absent: the law's own
 */
export const fitLaw = (
  law: Law,
  points: readonly Point[],
  starts?: readonly ArrayLike<number>[],
  limits: Bounds = boundsOf(law),
): Fit => finish(fittingLaw(law, points, starts, limits))

/** `fitLaw` in steps (../steps.ts), for whoever must stay responsive: with 100,000 points it takes minutes. */
export function* fittingLaw(
  law: Law,
  points: readonly Point[],
  starts?: readonly ArrayLike<number>[],
  limits: Bounds = boundsOf(law),
): Generator<void, Fit> {
  checkDesign(law, points)
  const begins = starts ?? gridOfStarts(law, points)
  for (const start of begins) checkTheta(law, start)
  const search = searchSpace(law, limits)
  const objective = huberObjective(law, points, search)
  const rough: Minimum[] = []
  for (const start of begins) rough.push(yield* minimising(objective, search.fromTheta(start), search.bounds, 1e-5))
  const lowestFirst = rough.toSorted((a, b) => (a.value < b.value ? -1 : 1)) // NaN goes last
  const ends: Minimum[] = []
  for (const { x } of lowestFirst.slice(0, polished)) ends.push(yield* minimising(objective, x, search.bounds))
  const best = ends.reduce((a, b) => (b.value < a.value ? b : a))
  const theta = search.toTheta(best.x)
  const residuals = points.map((point): Residual => {
    const predicted = law.evaluate(theta, logSetting(point))
    return { point, predicted, error: predicted - point.loss }
  })
  return {
    law,
    points,
    theta,
    params: Object.fromEntries(law.parameters.map(({ name }, i) => [name, theta[i]!])),
    objective: best.value,
    r2: coefficientOfDetermination(residuals),
    residuals,
    starts: begins.length,
    startsNearBest: rough.filter(({ value }) => value <= 1.01 * best.value).length,
  }
}

/** Objective of a law at given parameters, without a search. @throws usage error for points that no law is defined for */
export function objectiveAt(law: Law, theta: ArrayLike<number>, points: readonly Point[]): number {
  checkPoints(points)
  checkTheta(law, theta)
  const search = searchSpace(law, boundsOf(law))
  return huberObjective(law, points, search)(search.fromTheta(theta), new Float64Array(theta.length))
}

export function coefficientOfDetermination(residuals: readonly Residual[]): number {
  const weightOf = ({ point }: Residual) => point.weight ?? 1
  const sum = (term: (residual: Residual) => number) => residuals.reduce((total, r) => total + weightOf(r) * term(r), 0)
  const mean = sum(({ point }) => point.loss) / sum(() => 1)
  return 1 - sum(({ error }) => error ** 2) / sum(({ point }) => (point.loss - mean) ** 2)
}

/** Every combination of the parameters' starts; beyond `maxStarts` an even, seedless sample of them. */
export function gridOfStarts(law: Law, points: readonly Point[]): Float64Array[] {
  const lists = law.parameters.map(({ starts, unitOf }) => {
    const unit = unitOf === undefined ? 1 : orderOfMagnitude(points.map((point) => point[unitOf] ?? 1))
    return starts.map((start) => start * unit)
  })
  const combinations = lists.reduce((product, list) => product * list.length, 1)
  const count = Math.min(combinations, maxStarts)
  return Array.from({ length: count }, (_, i) => {
    // Multiples of the golden ratio fill [0, 1) evenly; a whole grid is simply counted through.
    let index = count === combinations ? i : Math.floor(((i * 0.6180339887498949) % 1) * combinations)
    return Float64Array.from(lists, (list) => {
      const start = list[index % list.length]!
      index = Math.floor(index / list.length)
      return start
    })
  })
}

/** The power of ten nearest to the geometric mean: 1e9 for the published N, 1 for the published losses. */
function orderOfMagnitude(values: readonly number[]): number {
  const meanLog10 = values.reduce((sum, value) => sum + Math.log10(value), 0) / values.length
  return 10 ** Math.round(meanLog10)
}

interface SearchSpace {
  readonly bounds: Bounds
  fromTheta(theta: ArrayLike<number>): Float64Array
  toTheta(x: Float64Array): Float64Array
  /** d theta_i / d x_i */
  slope(theta: Float64Array, i: number): number
}

const boundsOf = ({ parameters }: Law): Bounds => ({
  lower: parameters.map(({ lower }) => lower),
  upper: parameters.map(({ upper }) => upper),
})

/** Scale parameters are searched for as logarithms: they span orders of magnitude, and the valley is straighter so. */
function searchSpace({ parameters }: Law, { lower, upper }: Bounds): SearchSpace {
  const forward = (value: number, i: number) => (parameters[i]!.logarithmic ? Math.log(value) : value)
  return {
    bounds: { lower: lower.map(forward), upper: upper.map(forward) },
    fromTheta: (theta) => Float64Array.from(theta, forward),
    toTheta: (x) => x.map((value, i) => (parameters[i]!.logarithmic ? Math.exp(value) : value)),
    slope: (theta, i) => (parameters[i]!.logarithmic ? theta[i]! : 1),
  }
}

function huberObjective(law: Law, points: readonly Point[], search: SearchSpace): Objective {
  const settings = points.map(logSetting)
  const lnLosses = points.map(({ loss }) => Math.log(loss))
  const weights = points.map(({ weight = 1 }) => weight)
  const lossGradient = new Float64Array(law.parameters.length)
  return (x, gradient) => {
    const theta = search.toTheta(x)
    let sum = 0
    gradient.fill(0)
    for (let i = 0; i < settings.length; i++) {
      const predicted = law.evaluate(theta, settings[i]!, lossGradient)
      const residual = lnLosses[i]! - Math.log(predicted)
      sum += weights[i]! * huber(residual)
      const slope = (-weights[i]! * Math.max(-huberDelta, Math.min(huberDelta, residual))) / predicted
      for (let j = 0; j < gradient.length; j++) gradient[j]! += slope * lossGradient[j]!
    }
    for (let j = 0; j < gradient.length; j++) gradient[j]! *= search.slope(theta, j)
    return sum
  }
}

/** e^2 / 2 up to delta, beyond it a straight line (P. Huber, Ann. Math. Statist. 35(1), 1964). */
export function huber(residual: number): number {
  const size = Math.abs(residual)
  return size <= huberDelta ? (size * size) / 2 : huberDelta * (size - huberDelta / 2)
}
