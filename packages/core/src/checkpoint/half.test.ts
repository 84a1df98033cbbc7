import { expect, it } from 'vitest'
import { floatBitsToBfloat, floatBitsToHalf, halfToFloatBits } from './half.ts'

// Values against numpy: gguf-blocks.test.ts. Here the laws that hold for all 65,536 patterns.
const patterns = Array.from({ length: 0x10000 }, (_, i) => i)

it('every half that is a number, and every quiet NaN, survives widening and narrowing', () => {
  const signalling = (half: number) => (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0 && (half & 0x200) === 0
  const changed = patterns.filter((half) => floatBitsToHalf(halfToFloatBits(half)) !== half)
  expect(changed).toEqual(patterns.filter(signalling))
})

it('a signalling NaN stays a NaN', () => {
  expect(floatBitsToHalf(halfToFloatBits(0x7c01))).toBe(0x7e01)
  // Its upper half alone would read as infinity.
  expect(floatBitsToBfloat(0x7f800001)).toBe(0x7fc0)
})

it('every bfloat16 that is no signalling NaN survives', () => {
  const signalling = (bfloat: number) => (bfloat & 0x7f80) === 0x7f80 && (bfloat & 0x7f) !== 0 && (bfloat & 0x40) === 0
  const changed = patterns.filter((bfloat) => floatBitsToBfloat(bfloat << 16) !== bfloat)
  expect(changed).toEqual(patterns.filter(signalling))
})
