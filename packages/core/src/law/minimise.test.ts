import { expect, test } from 'vitest'
import { type Bounds, minimise } from './minimise.ts'

const free = (n: number): Bounds => ({ lower: new Array<number>(n).fill(-Infinity), upper: new Array<number>(n).fill(Infinity) })

/** Rosenbrock's valley in n dimensions; minimum 0 at (1, ..., 1). */
function rosenbrock(x: Float64Array, gradient: Float64Array): number {
  gradient.fill(0)
  let sum = 0
  for (let i = 0; i + 1 < x.length; i++) {
    const [a, b] = [x[i]!, x[i + 1]!]
    sum += 100 * (b - a * a) ** 2 + (1 - a) ** 2
    gradient[i]! += -400 * a * (b - a * a) - 2 * (1 - a)
    gradient[i + 1]! += 200 * (b - a * a)
  }
  return sum
}

test('Rosenbrock without bounds', () => {
  for (const n of [2, 5, 8]) {
    const { x, value } = minimise(rosenbrock, new Array<number>(n).fill(-0.5), free(n))
    expect(value).toBeLessThan(1e-20)
    for (const xi of x) expect(xi).toBeCloseTo(1, 9)
  }
})

test('Rosenbrock against a bound: Hock and Schittkowski, problem 1 with upper bounds; minimum on the edge', () => {
  const { x, value } = minimise(rosenbrock, [-1, 1], { lower: [-2, -2], upper: [0.5, 2] })
  expect(x[0]).toBe(0.5)
  expect(x[1]).toBeCloseTo(0.25, 9)
  expect(value).toBeCloseTo(0.25, 12)
})

test('a start outside the bounds is moved onto them; a corner can be the minimum', () => {
  const slope = (x: Float64Array, gradient: Float64Array) => {
    gradient.set([1, -2])
    return x[0]! - 2 * x[1]!
  }
  expect([...minimise(slope, [9, 9], { lower: [-1, 0], upper: [5, 3] }).x]).toEqual([-1, 3])
})

test('steps into where the function is undefined are shortened', () => {
  const barrier = (x: Float64Array, gradient: Float64Array) => {
    gradient[0] = 1 - 1 / x[0]!
    return x[0]! - Math.log(x[0]!)
  }
  expect(minimise(barrier, [1e-6], free(1)).x[0]).toBeCloseTo(1, 7)
})
