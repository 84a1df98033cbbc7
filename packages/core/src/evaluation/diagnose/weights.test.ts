import { expect, test } from 'vitest'
import { findAlarms } from './alarms.ts'
import { weightStatistics } from './weights.ts'

const shares = (counts: number[]) => counts.map((count) => expect.closeTo(count / 4, 6))

test('counts means, leaders, entropy and histograms of four tokens', () => {
  // Exact in binary; the last token is undecided, so that its first stream leads.
  const weights = Float32Array.of(0.75, 0.25, 1, 0, 0.25, 0.75, 0.5, 0.5)
  const { mean, deviation, leads, entropy, histogram } = weightStatistics(weights, 2, 0)
  // Of 0.75, 1, 0.25, 0.5 around 0.625; the other stream's are what is left of 1.
  expect(deviation).toEqual([expect.closeTo(Math.sqrt(0.078125), 9), expect.closeTo(Math.sqrt(0.078125), 9)])
  expect(mean).toEqual(shares([2.5, 1.5]))
  expect(leads).toEqual(shares([3, 1]))
  // Bits: 0.811278 twice, 0 and 1.
  expect(entropy).toBeCloseTo((2 * 0.8112781245 + 0 + 1) / 4, 9)
  expect(histogram).toEqual([
    [0, 0, 1, 0, 0, 1, 0, 1, 0, 1],
    [1, 0, 1, 0, 0, 1, 0, 1, 0, 0],
  ])
})

test('undoes the smoothing, behind which one stream has everything', () => {
  const [smoothing, P] = [0.4, 4]
  const weights = Float32Array.from([0, 0, 1, 0, 0, 0, 1, 0], (w) => w * (1 - smoothing) + smoothing / P)
  const statistics = weightStatistics(weights, P, smoothing)
  expect(statistics.mean[2]).toBeCloseTo(0.7, 6)
  expect(statistics.beforeSmoothing.mean).toEqual([0, 0, 1, 0].map((x) => expect.closeTo(x, 6)))
  expect(statistics.beforeSmoothing.entropy).toBeCloseTo(0, 5)
  expect(findAlarms({ rho: [] }, [], statistics)).toMatchObject([
    { kind: 'weight monoculture', figure: 'meanWeight', threshold: 0.9, streams: [[3]] },
  ])
})

test('smoothing 1 is the average, and no monoculture', () => {
  const statistics = weightStatistics(new Float32Array(8).fill(0.25), 4, 1)
  expect(statistics.beforeSmoothing.entropy).toBeCloseTo(1, 6)
  expect(findAlarms({ rho: [] }, [], statistics)).toEqual([])
})

test('weights that leave each token to a stream, in turn, raise the alarm of the entropy', () => {
  const statistics = weightStatistics(Float32Array.of(1, 0, 0, 1), 2, 0)
  const alarms = findAlarms({ rho: [] }, [], statistics)
  expect(alarms).toMatchObject([{ kind: 'weight monoculture', figure: 'entropy', value: 0, threshold: 0.1 }])
})

test('names the pairs that collapsed, and only those', () => {
  const rho = [
    [1, 0.9995, 0.8],
    [0.9995, 1, 0.7],
    [0.8, 0.7, 1],
  ]
  const distances = [
    [0, 0.05, 0.5],
    [0.05, 0, 0.004],
    [0.5, 0.004, 0],
  ]
  const even = weightStatistics(new Float32Array(3).fill(1 / 3), 3, 0)
  const alarms = findAlarms({ rho }, distances, even)
  expect(alarms).toMatchObject([
    { kind: 'stream collapse', figure: 'rho', value: 0.9995, threshold: 0.999, streams: [[1, 2]] },
    { kind: 'stream collapse', figure: 'distance', value: 0.004, threshold: 0.01, streams: [[2, 3]] },
  ])
  expect(alarms[0]!.message).toContain('1 of 3 pairs of streams (1 and 2)')
})
