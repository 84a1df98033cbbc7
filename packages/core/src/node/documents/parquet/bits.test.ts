/** Counts that lie: each of these made arrays or loops as large as it says. */
import process from 'node:process'
import { expect, it } from 'vitest'
import { hybridRuns } from './bits.ts'
import { decompressPage } from './codecs.ts'
import { readDeltas } from './deltas.ts'
import { readDictionary, readValues } from './values.ts'

const cursor = (...bytes: number[]) => ({ bytes: Uint8Array.from(bytes), at: 0 })
const text = { index: 0, type: 'BYTE_ARRAY', width: 0, meaning: 'text' } as const
const most = [0xff, 0xff, 0xff, 0xff, 0x0f]

it('runs and groups are as long as is asked', () => {
  const run = hybridRuns(cursor(0xfe, 0xff, 0xff, 0xff, 0x0f, 5), 3)
  expect([run(), run(), run()]).toEqual([5, 5, 5])
  // Two runs of none, then eight numbers of three bits, the lowest first.
  const packed = hybridRuns(cursor(0, 7, 0, 7, 3, 0x88, 0xc6, 0xfa, 2, 6), 3)
  expect(Array.from({ length: 9 }, packed)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 6])
  expect(() => hybridRuns(cursor(...most, 1), 3)()).not.toThrow()
  expect(() => Array.from({ length: 5 }, hybridRuns(cursor(...most, 1), 3))).toThrow('ends early')
  expect(() => hybridRuns(cursor(2, 0), 99)).toThrow('99 bits')
  expect(() => hybridRuns(cursor(0, 1, 0, 1), 1)()).toThrow('ends early')
})

it.each([
  ['no parts', [128, 1, 0, 4, 2], '0 parts'],
  ['parts of no numbers', [0, 4, 4, 2], '4 parts'],
  ['more parts than bytes', [...most, ...most, 4, 2], 'parts'],
])('differences in %s', (_, bytes, message) => {
  expect(() => readDeltas(cursor(...bytes), 32)).toThrow(message)
})

it('differences of no bits take no room', () => {
  // Blocks of 128 in one part; four thousand million numbers, from 1 on, each 1 more.
  const { next, end } = readDeltas(cursor(128, 1, 1, 129, 2, 2, 2, 0, 2, 0), 32)
  expect(end).toBe(10)
  expect(Array.from({ length: 257 }, next).at(-1)).toBe(257n)
  expect(next).toThrow('only 257')
})

it('dictionaries and texts are no longer than their page', () => {
  expect(() => readDictionary(new Uint8Array(40), 2 ** 31, text)).toThrow('2147483648 values in 40 bytes')
  expect(() => readValues(Uint8Array.from([255, 255, 255, 127, 65]), 0, text, undefined)()).toThrow('2147483647 bytes')
  // The second value begins with more of the first than there is.
  const prefixes = [128, 1, 1, 2, 0, 20, 0]
  const lengths = [128, 1, 1, 2, 2, 0, 0]
  const value = readValues(Uint8Array.from([...prefixes, ...lengths, 65, 66]), 7, text, undefined)
  expect(value()).toBe('A')
  expect(value).toThrow('begins with 10 bytes of one of 1')
})

it('a dictionary of millions of texts takes little more than its page', () => {
  const page = new Uint8Array(64 << 20) // of empty texts
  const before = process.memoryUsage()
  const dictionary = readDictionary(page, 16 << 20, text)
  for (let i = 0; i < 200_000; i++) if (dictionary.value(i * 80) !== '') throw new Error(`text ${i} is not empty`)
  const after = process.memoryUsage()
  // 64 MiB of starts; an object each would take 2 GB.
  expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(200 << 20)
})

it.each([
  ['Snappy', 1, [0xff, 0xff, 0xff, 0x7f, 0], 2 ** 28 - 1],
  ['gzip', 2, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], 2 ** 30],
  ['Brotli', 4, [1, 2, 3], 2 ** 30],
  ['LZ4', 7, [0, 0, 0], 2 ** 30],
  ['Zstandard', 6, [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40], 2 ** 30],
])('%s makes no more of a page than it can', (_, codec, bytes, length) => {
  expect(() => decompressPage(codec, Uint8Array.from(bytes), length)).toThrow('cannot come of')
  // Nor another length than the header says.
  expect(() => decompressPage(codec, Uint8Array.from(bytes), 100)).toThrow()
})
