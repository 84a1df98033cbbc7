import { expect, it } from 'vitest'
import { extent, mean } from './streams.ts'

it('finds the least and the most of more values than a call takes', () => {
  const values = Array.from({ length: 500_000 }, (_, i) => Math.sin(i))
  expect(() => Math.max(...values)).toThrow(RangeError)
  const [least, most] = extent(values)
  expect([least, most].map((value) => value.toFixed(6))).toEqual(['-1.000000', '1.000000'])
  expect(mean([1, 2, 6])).toBe(3)
})
