/** The arithmetic of the study of streams, on losses that are known to follow a law. */
import { expect, test } from 'vitest'
import { cellName, cells, membersOf, sizes } from '../experiments/streams/cells.ts'
import { better, betterAtEqual, type Model, worth } from '../experiments/streams/compare-cells.ts'
import { costsOf } from '../experiments/streams/costs.ts'
import { bestRate, nextRuns } from '../experiments/streams/plan.ts'
import { choosingLoss, type Record, reportedLoss } from '../experiments/streams/records.ts'

/** A loss that falls by 0.1 with each factor e of the parameters. */
const lossOf = (parameters: number): number => 3 - 0.1 * Math.log(parameters)

/** @param noise how much the documents of this run differ from what the loss says */
function record(loss: number, { seed = 0, rate = 1, noise = 0, name = 'p1', size = '35k' } = {}): Record {
  const documents = Array.from({ length: 30 }, (_, i) => {
    const tokens = 100 + 10 * i
    return { tokens, nats: tokens * (loss + noise * Math.sin(7 * i + seed)) }
  })
  const fixed = { parameters: 0, tokens: 0, trainingSeconds: 0, machine: '', args: [] }
  return { ...fixed, name, size, variant: name, p: 1, rate, seed, documents }
}
const model = (parameters: number, ...losses: number[]): Model => ({
  costs: { parameters, arithmetic: 2 * parameters, traffic: 3 * parameters },
  runs: losses.map((loss, seed) => record(loss, { seed })),
})
const ladder = [20e3, 35e3, 70e3].map((parameters) => model(parameters, lossOf(parameters)))

test('worth is the factor by which P = 1 would have to grow', () => {
  const streams = model(40e3, lossOf(1.4 * 35e3))
  expect(worth(streams, ladder[1]!, ladder).value).toBeCloseTo(1.4, 6)
  expect(worth(ladder[1]!, ladder[1]!, ladder).value).toBeCloseTo(1, 6)
  expect(worth(model(40e3, lossOf(4 * 35e3)), ladder[1]!, ladder).value).toBeCloseTo(4, 6) // beyond the ladder
})

test('at equal parameters what is left is what parameters alone do not explain', () => {
  const streams = model(40e3, lossOf(40e3) - 0.02)
  expect(betterAtEqual(streams, ladder, 'parameters').value).toBeCloseTo(0.02, 6)
  const fourTimes: Model = { ...streams, costs: { ...streams.costs, arithmetic: 2 * 60e3 } }
  expect(betterAtEqual(fourTimes, ladder, 'arithmetic').value).toBeCloseTo(lossOf(60e3) - lossOf(40e3) + 0.02, 6)
})

test('an interval is as wide as seeds differ', () => {
  const alike = better(model(35e3, 1.4, 1.4, 1.4), model(35e3, 1.42, 1.42, 1.42))
  expect(alike.low).toBeCloseTo(0.02, 6)
  const unlike = better(model(35e3, 1.38, 1.4, 1.42), model(35e3, 1.42, 1.42, 1.42))
  expect(unlike.value).toBeCloseTo(0.02, 6)
  expect(unlike.low).toBeLessThan(0.005)
  expect(unlike.high).toBeGreaterThan(0.035)
})

test('an interval is as wide as documents differ, and documents that both find hard do not count', () => {
  const noisy = (loss: number, seed: number): Model => ({ ...model(35e3), runs: [record(loss, { seed, noise: 0.1 })] })
  const same = better(noisy(1.4, 0), noisy(1.42, 0))
  expect(same.high - same.low).toBeLessThan(1e-9)
  const other = better(noisy(1.4, 0), noisy(1.42, 1))
  expect(other.high - other.low).toBeGreaterThan(0.02)
})

test('rates are chosen on documents that are not reported', () => {
  const made = record(1.4)
  const harder = { ...made, documents: made.documents.map((each, i) => (i % 3 === 0 ? { ...each, nats: each.nats + 10 } : each)) }
  expect(choosingLoss(harder)).toBeGreaterThan(choosingLoss(made))
  expect(reportedLoss(harder)).toBe(reportedLoss(made))
})

test('a sweep goes on until the best rate lies between two worse ones; then come the other seeds', () => {
  const cell = cells.find((each) => cellName(each) === '35k-p1')!
  const made: Record[] = []
  const best = 0.005 // below every rate that it begins with
  for (let turn = 0; ; turn++) {
    expect(turn).toBeLessThan(10)
    const runs = nextRuns(made, cell)
    if (runs.length === 0) break
    made.push(...runs.map(({ rate, seed }) => record(1.4 + Math.abs(Math.log2(rate / best)) / 100, { rate, seed })))
  }
  expect(bestRate(made, cell)).toEqual({ rate: best, enclosed: true })
  expect(made.filter(({ rate }) => rate === best).map(({ seed }) => seed)).toEqual([0, 1, 2])
  expect(made.filter(({ seed }) => seed === 0).map(({ rate }) => rate)).toEqual([...sizes['35k'].rates, 0.005, 0.0025])
})

test('models of their own have the best rate of P = 1, once it is known, and seeds of their own', () => {
  const cell = cells.find((each) => cellName(each) === '35k-independent-p4')!
  const swept = [0.01, 0.02, 0.04].map((rate) => record(rate === 0.02 ? 1.4 : 1.5, { rate }))
  expect(nextRuns(swept.slice(0, 2), cell)).toEqual([])
  const plain = [...swept, ...[1, 2].map((seed) => record(1.4, { rate: 0.02, seed }))]
  const runs = nextRuns(plain, cell)
  expect(runs.map(({ rate, seed }) => [rate, seed])).toEqual([0, 1, 2].map((seed) => [0.02, seed]))
  expect(runs.flatMap(membersOf).map(({ seed }) => seed)).toEqual(Array.from({ length: 12 }, (_, i) => i))
  const made = record(1.3, { rate: 0.02, name: 'independent-p4' })
  expect(nextRuns([...plain, made], cell).map(({ seed }) => seed)).toEqual([1, 2])
})

test('a cell that takes the rate of another is not swept', () => {
  const cell = cells.find((each) => cellName(each) === '35k-all-window8-p4')!
  expect(nextRuns([], cell).map(({ rate, seed }) => [rate, seed])).toEqual([0, 1, 2].map((seed) => [0.02, seed]))
  const made = record(1.4, { rate: 0.02, name: 'all-window8-p4' })
  expect(nextRuns([made], cell).map(({ seed }) => seed)).toEqual([1, 2])
})

test('keys and values that streams share are read once', () => {
  const parameters = 47_268
  const traffic = (...args: string[]) => costsOf({ size: '35k', variant: 'all-p4', p: 4, parameters, args }).traffic - parameters
  const place = 2 * 2 * 32 // keys and values of two layers
  expect(traffic()).toBe(4 * 64 * place)
  expect(traffic('--own-window', '8')).toBe((64 + 3 * 8) * place)
  expect(traffic('--own-window', '100')).toBe(traffic())
})
