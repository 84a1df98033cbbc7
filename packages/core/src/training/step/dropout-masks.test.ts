/**
 * Dropout's masks against the binomial law. Bounds are five standard deviations of what is counted, so a right generator misses
 * one in a million times, and the seeds are fixed.
 */
import { describe, expect, it } from 'vitest'
import { createRandom } from '../../random.ts'
import { dropoutMasks } from './dropout-masks.ts'

const size = 400_003
const drawn = (rate: number, seed = 1) => {
  const mask = new Float32Array(size)
  dropoutMasks(rate)(mask, createRandom(seed))
  return mask
}
const count = (mask: Float32Array, when: (i: number) => boolean) => mask.reduce((sum, _, i) => sum + Number(when(i)), 0)
/** Within five standard deviations of what `trials` of this probability give. */
function expectCount(found: number, probability: number, trials: number): void {
  expect(Math.abs(found - probability * trials)).toBeLessThan(5 * Math.sqrt(trials * probability * (1 - probability)))
}

describe.each([0.01, 0.05, 0.1, 0.3, 0.5, 0.9])('at a rate of %f', (rate) => {
  const mask = drawn(rate)

  it('drops that share, at every place of eight, and scales up the others', () => {
    expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]))
    expectCount(
      count(mask, (i) => mask[i] === 0),
      rate,
      size,
    )
    for (let place = 0; place < 8; place++) {
      const trials = Math.ceil((size - place) / 8)
      expectCount(
        count(mask, (i) => i % 8 === place && mask[i] === 0),
        rate,
        trials,
      )
    }
  })

  it('drops each independently of those near it, of the row above, and of the next mask', () => {
    const next = drawn(rate, 2)
    // Pairs (i, i + d) overlap, so each i is taken once.
    for (const distance of [1, 2, 7, 8, 9, 64, 128]) {
      const firsts = Array.from({ length: size - distance }, (_, i) => i).filter((i) => Math.floor(i / distance) % 2 === 0)
      const both = firsts.filter((i) => mask[i] === 0 && mask[i + distance] === 0).length
      expectCount(both, rate ** 2, firsts.length)
    }
    expectCount(
      count(mask, (i) => mask[i] === 0 && next[i] === 0),
      rate ** 2,
      size,
    )
  })
})

it('gives the same for the same seed, and drops nothing at a rate of 0', () => {
  expect(drawn(0.1, 7)).toEqual(drawn(0.1, 7))
  expect(drawn(0.1, 7)).not.toEqual(drawn(0.1, 8))
  expect(new Set(drawn(0))).toEqual(new Set([1]))
})
