import { expect, test } from 'vitest'
import { firstStreams } from './first-streams.ts'

const counted = (n: number) => Float32Array.from({ length: n }, (_, i) => i)
const from8to2 = { stored: 8, wanted: 2 }

test('the first of what each stream has', () => {
  expect(firstStreams(counted(24), [8, 1, 3], [2, 1, 3], from8to2)).toEqual(counted(6))
})

test('the columns of the aggregator that read them, in which the stream runs fastest', () => {
  const block = firstStreams(counted(2 * 3 * 8), [2, 24], [2, 6], from8to2)
  expect([...block!]).toEqual([0, 1, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41])
})

test('what does not depend on P stays', () => {
  expect(firstStreams(counted(3), [3], [3], from8to2)).toEqual(counted(3))
})

test('nothing of more streams, of another rank or of other sizes', () => {
  expect(firstStreams(counted(6), [2, 1, 3], [8, 1, 3], { stored: 2, wanted: 8 })).toBeUndefined()
  expect(firstStreams(counted(24), [8, 3], [2, 1, 3], from8to2)).toBeUndefined()
  expect(firstStreams(counted(24), [8, 3], [2, 2], from8to2)).toBeUndefined() // also fewer of something else
  expect(firstStreams(counted(24), [8, 3], [4, 3], from8to2)).toBeUndefined()
})
