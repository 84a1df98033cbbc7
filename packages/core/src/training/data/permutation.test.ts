import fc from 'fast-check'
import { expect, it } from 'vitest'
import { permutation } from './permutation.ts'

const all = (length: number, seed: number, epoch: number): number[] =>
  Array.from({ length }, (_, index) => permutation(length, seed, epoch)(index))

it('is a bijection', () => {
  fc.assert(
    fc.property(fc.nat(600), fc.maxSafeInteger(), fc.nat(5), (length, seed, epoch) => {
      const sorted = all(length, seed, epoch).sort((a, b) => a - b)
      expect(sorted).toEqual(Array.from({ length }, (_, i) => i))
    }),
    { numRuns: 60 },
  )
})

it('stays in range up to the largest length', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 32 }),
      fc.nat(),
      fc.noShrink(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      (length, seed, where) => {
        const image = permutation(length, seed, 0)(Math.floor(where * length))
        expect(Number.isInteger(image) && image >= 0 && image < length).toBe(true)
      },
    ),
  )
  expect(() => permutation(2 ** 32 + 1, 0, 0)).toThrow('up to 2^32')
})

it('gives every order of four about equally often', () => {
  const counts = new Map<string, number>()
  const draws = 24 * 400
  for (let seed = 0; seed < draws / 2; seed++) {
    for (const epoch of [0, 1]) {
      const order = all(4, seed, epoch).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
  }
  // Chi-squared with 23 degrees of freedom is beyond 49.7 once in a thousand seeds' worth of luck; seeds here are fixed.
  const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - 400) ** 2 / 400, 0)
  expect(counts.size).toBe(24)
  expect(chiSquared).toBeLessThan(49.7)
})

it('shuffles neighbours apart, and differently in each epoch and seed', () => {
  const length = 10_000
  const orders = [all(length, 1, 0), all(length, 1, 1), all(length, 2, 0)]
  for (const order of orders) {
    const steps = order.slice(1).map((image, i) => Math.abs(image - order[i]!))
    const mean = steps.reduce((a, b) => a + b) / steps.length
    expect(mean / length).toBeCloseTo(1 / 3, 1) // as of two independent uniform numbers
    expect(order.filter((image, i) => image === i).length).toBeLessThan(10)
  }
  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const) {
    expect(orders[a]!.filter((image, i) => image === orders[b]![i]).length).toBeLessThan(10)
  }
})

it('never changes: runs are resumed across versions', () => {
  expect(all(10, 42, 3)).toMatchInlineSnapshot(`
    [
      7,
      0,
      9,
      2,
      8,
      4,
      6,
      1,
      3,
      5,
    ]
  `)
})
