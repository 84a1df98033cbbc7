import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../random.ts'
import { type BlockShape, blockSizeFor, dequantiseBlocks, quantiseBlocks } from './quantise.ts'

const shapes: BlockShape[] = ([8, 4] as const).flatMap((bits) => [16, 32, 128].map((blockSize) => ({ bits, blockSize })))
const roundTrip = (values: Float32Array, shape: BlockShape) => dequantiseBlocks(quantiseBlocks(values, shape, 'w'), shape)
const blockOf = (numbers: readonly number[], { blockSize }: BlockShape) =>
  Float32Array.from({ length: blockSize }, (_, i) => numbers[i % numbers.length]!)
/** Finite float32 of every size, from denormal to the largest. */
const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 128 })

describe.each(shapes)('$bits bits in blocks of $blockSize', (shape) => {
  const { bits, blockSize } = shape

  it('errs by half a step at most at 8 bits, and always less than by rounding all to zero', () => {
    fc.assert(
      fc.property(floats, (numbers) => {
        const values = blockOf(numbers, shape)
        const back = roundTrip(values, shape)
        const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0)
        // Scales are float32: below the normal ones they are steps of 2^-149.
        if (bits === 8)
          for (const [i, x] of values.entries())
            expect(Math.abs(back[i]! - x)).toBeLessThanOrEqual(largest / 253.99 + 128 * 2 ** -149)
        const squares = (numbers: Float32Array) => numbers.reduce((sum, x) => sum + x * x, 0)
        const error = squares(values.map((x, i) => x - back[i]!))
        expect(error).toBeLessThanOrEqual(squares(values) + 1e-60)
      }),
    )
  })

  it('keeps zeros', () => {
    const { data, scales } = quantiseBlocks(new Float32Array(blockSize), shape, 'w')
    expect([...scales]).toEqual([0])
    expect(new Set(roundTrip(new Float32Array(blockSize), shape))).toEqual(new Set([0]))
    expect(data).toHaveLength((blockSize * bits) / 8)
  })

  it('refuses what is not finite, by its name and place', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = new Float32Array(2 * blockSize).fill(1)
      values[blockSize + 3] = bad
      expect(() => quantiseBlocks(values, shape, 'model.w', 1000)).toThrow(
        expect.objectContaining({
          kind: 'checkpoint',
          message: expect.stringContaining(`tensor model.w holds ${bad} at element ${1000 + blockSize + 3}`),
        }),
      )
    }
  })
})

it('4 bits keep what lies on a grid of 4 bits', () => {
  const grid = fc.array(fc.integer({ min: -7, max: 7 }), { minLength: 1, maxLength: 64 })
  fc.assert(
    fc.property(grid, fc.integer({ min: -30, max: 30 }), (integers, exponent) => {
      // The extreme is at the end of the grid: of a smaller one nobody could know which grid was meant.
      const shape = { bits: 4, blockSize: 64 } as const
      const values = blockOf(
        [7, ...integers].map((q) => q * 2 ** exponent),
        shape,
      )
      const back = roundTrip(values, shape)
      for (const [i, x] of values.entries()) expect(back[i]! / 2 ** exponent).toBeCloseTo(x / 2 ** exponent, 5)
    }),
  )
})

it('4 bits lose what the best of many scales lose, within a hundredth', () => {
  const random = createRandom(1)
  const shape = { bits: 4, blockSize: 64 } as const
  let [ours, best] = [0, 0]
  for (let block = 0; block < 50; block++) {
    const values = Float32Array.from({ length: 64 }, () => random.normal())
    const back = roundTrip(values, shape)
    ours += values.reduce((sum, x, i) => sum + (x - back[i]!) ** 2, 0)
    const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0)
    let least = Number.POSITIVE_INFINITY
    for (let step = 0; step < 400; step++) {
      for (const sign of [-1, 1]) {
        const scale = (sign * largest * (0.5 + step / 400)) / 8
        const error = values.reduce((sum, x) => sum + (x - scale * Math.min(7, Math.max(-8, Math.round(x / scale)))) ** 2, 0)
        least = Math.min(least, error)
      }
    }
    best += least
  }
  expect(Math.sqrt(ours / best)).toBeLessThan(1.01)
})

it('packs the first of two 4-bit integers into the low half', () => {
  const values = new Float32Array(16)
  values[0] = -8
  values[1] = 7
  const { data, scales } = quantiseBlocks(values, { bits: 4, blockSize: 16 }, 'w')
  const [first, second] = [data[0]! & 15, data[0]! >>> 4]
  expect((first - 8) * scales[0]!).toBeCloseTo(-8, 0)
  expect((second - 8) * scales[0]!).toBeCloseTo(7, 0)
  expect([...data.subarray(1)].every((byte) => byte === 0x88)).toBe(true)
})

it('blocks divide rows', () => {
  expect([4096, 576, 1536, 48, 100, 8].map((row) => blockSizeFor(row, 128))).toEqual([128, 64, 128, 16, undefined, undefined])
  expect(blockSizeFor(4096, 32)).toBe(32)
})
