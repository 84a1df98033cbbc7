/**
 * Minimum of a smooth function within bounds: BFGS with projection, for a handful of variables.
 *
 * Variables that sit at a bound and would leave it are held; the others move along the quasi-Newton direction, and what
 * would cross a bound stays on it (two-metric projection: D. Bertsekas, SIAM J. Control Optim. 20(2), 1982). The step
 * length comes from bisection to the weak Wolfe conditions, which also suits functions with kinks in the gradient like Huber's
 * (A. Lewis, M. Overton, Math. Programming 141, 2013).
 */
import { finish } from '../steps.ts'

export interface Bounds {
  readonly lower: readonly number[]
  readonly upper: readonly number[]
}

/** Returns f(x) and writes its gradient. May return NaN or Infinity where f is undefined: such steps are shortened. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number

export interface Minimum {
  readonly x: Float64Array
  readonly value: number
}

const sufficientDecrease = 1e-4
const curvature = 0.9
const maxBisections = 40

/** `minimising`, at once. */
export const minimise = (...question: Parameters<typeof minimising>): Minimum => finish(minimising(...question))

/**
 * Pauses after each value of the objective.
 *
 * @param relativeTolerance ends when a step gains less than this share of the value, twice in a row (the second time from
 *   a fresh Hessian, because a stale one can stall early)
 */
export function* minimising(
  objective: Objective,
  start: ArrayLike<number>,
  bounds: Bounds,
  relativeTolerance = 1e-14,
  maxIterations = 1000,
): Generator<void, Minimum> {
  const n = start.length
  let x = Float64Array.from(start, (value, i) => clamp(value, bounds, i))
  let gradient = new Float64Array(n)
  let value = objective(x, gradient)
  let inverseHessian = identity(n, 1 / Math.max(1, norm(gradient)))
  let fresh = true
  let nextX = new Float64Array(n)
  let nextGradient = new Float64Array(n)

  for (let iteration = 0; iteration < maxIterations && Number.isFinite(value); iteration++) {
    const direction = descentDirection(inverseHessian, gradient, x, bounds)
    const nextValue = yield* lineSearch()
    const gain = value - nextValue
    const stalled = !(gain > relativeTolerance * Math.abs(value))
    if (gain > 0) {
      updateInverseHessian(inverseHessian, subtract(nextX, x), subtract(nextGradient, gradient), fresh)
      ;[x, nextX] = [nextX, x]
      ;[gradient, nextGradient] = [nextGradient, gradient]
      value = nextValue
    }
    if (stalled && fresh) break
    fresh = stalled
    if (stalled) inverseHessian = identity(n, 1 / Math.max(1, norm(gradient)))

    /** Leaves the point found in nextX and nextGradient; returns its value, or `value` if there is none below. */
    function* lineSearch(): Generator<void, number> {
      let [short, long, step] = [0, Infinity, 1]
      for (let i = 0; i < maxBisections; i++) {
        for (let j = 0; j < n; j++) nextX[j] = clamp(x[j]! + step * direction[j]!, bounds, j)
        const trial = objective(nextX, nextGradient)
        yield
        if (!(trial <= value + sufficientDecrease * dotDifference(gradient, nextX, x))) long = step
        else if (freeSlope(nextGradient, direction, nextX, bounds) < curvature * dot(gradient, direction)) short = step
        else return trial
        step = long === Infinity ? 2 * short : (short + long) / 2
      }
      // No step meets both conditions in double precision: take the longest that goes down.
      for (let j = 0; j < n; j++) nextX[j] = clamp(x[j]! + short * direction[j]!, bounds, j)
      return short === 0 ? value : objective(nextX, nextGradient)
    }
  }
  return { x, value }
}

const clamp = (value: number, { lower, upper }: Bounds, i: number) => Math.min(Math.max(value, lower[i]!), upper[i]!)

/** -H g over the variables that are free to move; 0 for those held at a bound. */
function descentDirection(
  inverseHessian: Float64Array[],
  gradient: Float64Array,
  x: Float64Array,
  { lower, upper }: Bounds,
): Float64Array {
  const held = (i: number) => (x[i]! <= lower[i]! && gradient[i]! > 0) || (x[i]! >= upper[i]! && gradient[i]! < 0)
  return gradient.map((_, i) =>
    held(i) ? 0 : -inverseHessian[i]!.reduce((sum, h, j) => (held(j) ? sum : sum + h * gradient[j]!), 0),
  )
}

/** Slope along the direction, without variables that have reached the bound they move to. */
function freeSlope(gradient: Float64Array, direction: Float64Array, x: Float64Array, { lower, upper }: Bounds): number {
  let slope = 0
  for (let i = 0; i < x.length; i++) {
    const blocked = (x[i]! <= lower[i]! && direction[i]! < 0) || (x[i]! >= upper[i]! && direction[i]! > 0)
    if (!blocked) slope += gradient[i]! * direction[i]!
  }
  return slope
}

/** BFGS update H <- (I - s y'/y's) H (I - y s'/y's) + s s'/y's, skipped where the curvature y's is not positive. */
function updateInverseHessian(h: Float64Array[], step: Float64Array, change: Float64Array, first: boolean): void {
  const sy = dot(step, change)
  if (!(sy > 1e-14 * norm(step) * norm(change))) return
  const n = step.length
  if (first) {
    const scale = sy / dot(change, change) // Nocedal and Wright, Numerical Optimization, Equation 6.20
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i]![j] = i === j ? scale : 0
  }
  const hy = h.map((row) => dot(row, change))
  const factor = (1 + dot(Float64Array.from(hy), change) / sy) / sy
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) h[i]![j]! += factor * step[i]! * step[j]! - (hy[i]! * step[j]! + step[i]! * hy[j]!) / sy
  }
}

const identity = (n: number, scale: number) => Array.from({ length: n }, (_, i) => new Float64Array(n).fill(scale, i, i + 1))
const norm = (a: Float64Array) => Math.sqrt(dot(a, a))
const subtract = (a: Float64Array, b: Float64Array) => a.map((value, i) => value - b[i]!)

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function dotDifference(a: Float64Array, b: Float64Array, c: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * (b[i]! - c[i]!)
  return sum
}
