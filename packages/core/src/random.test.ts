import { describe, expect, test } from 'vitest'
import { createRandom, splitMix64, xoshiro128StarStar } from './random.ts'

const take = <T>(count: number, next: () => T) => Array.from({ length: count }, next)

describe('against published vectors', () => {
  test('SplitMix64 (Rosetta Code, "Pseudo-random numbers/Splitmix64", seed 1234567)', () => {
    expect(take(5, splitMix64(1234567n))).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ])
  })

  test("xoshiro128** (crate rand_xoshiro, test `reference`, from the authors' C code, state 1 2 3 4)", () => {
    const random = xoshiro128StarStar([1, 2, 3, 4])
    expect(take(10, () => random.uint32())).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ])
  })
})

describe('the stream of a seed', () => {
  test('is the same each time and differs between neighbouring seeds', () => {
    const stream = (seed: number) => take(8, createRandom(seed).uint32)
    expect(stream(7)).toEqual(stream(7))
    expect(stream(7)).not.toEqual(stream(8))
    expect(stream(-1)).not.toEqual(stream(1))
    expect(() => createRandom(0.5)).toThrow('seed must be an integer')
  })

  test('fills [0, 1) evenly: mean, variance and sixteen bins', () => {
    const random = createRandom(3)
    const draws = take(160_000, () => random.uniform())
    expect(Math.min(...draws.slice(0, 1000))).toBeGreaterThanOrEqual(0)
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length
    expect(mean).toBeCloseTo(0.5, 2)
    const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length
    expect(variance).toBeCloseTo(1 / 12, 3)
    const bins = new Array<number>(16).fill(0)
    for (const u of draws) bins[Math.floor(u * 16)]!++
    const chiSquare = bins.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0)
    expect(chiSquare).toBeLessThan(37.7) // 15 degrees of freedom, p = 0.001
  })

  test('normal(): mean 0, variance 1, 4.55 % beyond two', () => {
    const random = createRandom(21)
    const draws = take(100_000, () => random.normal())
    expect(draws.reduce((a, b) => a + b, 0) / draws.length).toBeCloseTo(0, 1)
    expect(draws.reduce((a, b) => a + b * b, 0) / draws.length).toBeCloseTo(1, 1)
    expect(draws.filter((x) => Math.abs(x) > 2).length / draws.length).toBeCloseTo(0.0455, 2)
  })

  test('below() reaches every value and no other', () => {
    const random = createRandom(11)
    expect(new Set(take(500, () => random.below(7)))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]))
    expect(random.below(1)).toBe(0)
    // With bound 3 * 2^30 a plain modulo would return a value below 2^30 half of the time instead of a third.
    const small = take(30_000, () => random.below(3 * 2 ** 30)).filter((x) => x < 2 ** 30).length
    expect(small / 30_000).toBeCloseTo(1 / 3, 1)
  })
})
