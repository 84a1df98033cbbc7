/** The step of many workers: its limits, order statistics from tables, and what binds. */
import { describe, expect, it } from 'vitest'
import { expectedMaximum, type WorkersRequest, workersStep } from './workers.ts'

const none = { messages: 0, bytes: 0, hops: 0 }
const request: WorkersRequest = {
  workers: 8,
  passes: 64,
  passSeconds: 0.5,
  passSpread: 0,
  updateSeconds: 0,
  traffic: {
    gradients: { messages: 100, bytes: 4e8, hops: 3 },
    figures: { messages: 14, bytes: 1e4, hops: 1 },
    parameters: none,
    agreement: none,
  },
  link: { latencySeconds: 1e-4, bytesPerSecond: 1.25e9 },
  cost: { messageSeconds: 1e-5, hopSeconds: 1e-3, byteSeconds: 1e-10, bandwidthShare: 0.8, windowBytes: 4e6 },
  hiddenShare: 0,
}
const silent = { gradients: none, figures: none, parameters: none, agreement: none }
const free = { messageSeconds: 0, hopSeconds: 0, byteSeconds: 0, bandwidthShare: 1, windowBytes: 4e6 }

describe('limits', () => {
  it('one worker takes the time of its passes and of its update', () => {
    const one = workersStep({ ...request, workers: 1, passSpread: 0.2, updateSeconds: 0.3, traffic: silent })
    expect(one.seconds).toBeCloseTo(64 * 0.5 + 0.3, 12)
    expect([one.speedup, one.efficiency, one.binds]).toEqual([1, 1, 'compute'])
  })

  it('a network without latency and limit gives compute over workers', () => {
    const link = { latencySeconds: 0, bytesPerSecond: Infinity }
    for (const workers of [2, 8, 64]) {
      const { seconds, efficiency } = workersStep({ ...request, workers, link, cost: free })
      expect(seconds).toBeCloseTo((64 * 0.5) / workers, 12)
      expect(efficiency).toBeCloseTo(1, 12)
    }
  })

  it('terms are those of the formula', () => {
    const { seconds, parts } = workersStep(request)
    expect(parts.latency).toBeCloseTo(4 * 1e-4, 12)
    expect(parts.bandwidth).toBeCloseTo((4e8 + 1e4) / 1e9, 12)
    expect(parts.overhead).toBeCloseTo(114 * 1e-5 + 4 * 1e-3, 12)
    expect(seconds).toBeCloseTo(4 + parts.latency + parts.bandwidth + parts.overhead, 12)
    // A computer that takes 3 ns a byte, beside a link that takes one.
    const slow = workersStep({ ...request, cost: { ...request.cost, byteSeconds: 3e-9 } })
    expect(slow.parts.bandwidth).toBeCloseTo(parts.bandwidth, 12)
    expect(slow.parts.overhead - parts.overhead).toBeCloseTo(2 * parts.bandwidth, 12)
  })

  it('a connection waits for its window', () => {
    // 40 MB between two, 4 MB under way: ten times there and back.
    const far = { latencySeconds: 0.1, bytesPerSecond: 1.25e9 }
    const flow = { messages: 0, bytes: 4e7, hops: 0 }
    const step = (workers: number) =>
      workersStep({
        ...request,
        workers,
        traffic: { ...silent, gradients: flow },
        link: far,
        cost: { ...free, windowBytes: 4e6 },
      })
    expect(step(2).seconds - step(2).parts.compute).toBeCloseTo(2, 12)
    expect(step(11).parts.latency).toBeCloseTo(0.2 - 4e7 / 1.25e9, 12)
  })

  it('no more is hidden than the backward pass takes', () => {
    const half = workersStep({ ...request, hiddenShare: 0.5 })
    const whole = workersStep(request)
    expect(half.hiddenSeconds).toBeCloseTo((100e-5 + 3 * 1.1e-3 + 0.4) / 2, 12)
    expect(half.seconds).toBeCloseTo(whole.seconds - half.hiddenSeconds, 12)
    expect(workersStep({ ...request, passSeconds: 0.03, hiddenShare: 0.5 }).hiddenSeconds).toBeCloseTo(0.02, 12)
  })
})

describe('what binds', () => {
  const binds = (changes: Partial<WorkersRequest>) => workersStep({ ...request, ...changes }).binds
  it.each([
    ['compute', {}],
    ['bandwidth', { link: { latencySeconds: 1e-4, bytesPerSecond: 1e7 } }],
    ['latency', { link: { latencySeconds: 10, bytesPerSecond: 1e9 } }],
    ['overhead', { cost: { ...free, messageSeconds: 1 } }],
    ['too few passes', { workers: 512, traffic: silent }],
    ['stragglers', { workers: 64, passSpread: 0.9, traffic: silent }],
  ] as const)('%s', (name, changes) => expect(binds(changes)).toBe(name))

  it('workers without a pass do not help', () => {
    const of64 = workersStep({ ...request, workers: 64, traffic: silent })
    const of512 = workersStep({ ...request, workers: 512, traffic: silent })
    expect(of512.seconds).toBeCloseTo(of64.seconds, 12)
    expect(of512.efficiency).toBeCloseTo(1 / 8, 12)
  })
})

describe('the slowest of many', () => {
  // Expected value of the largest of n standard normal draws: H. L. Harter, Biometrika 48 (1961), table 1.
  it.each([
    [2, 0.56419],
    [3, 0.84628],
    [5, 1.16296],
    [10, 1.53875],
    [20, 1.86748],
    [50, 2.24907],
    [100, 2.50759],
  ])('%i draws: %f', (count, expected) => expect(expectedMaximum([{ count, mean: 0, deviation: 1 }])).toBeCloseTo(expected, 5))

  it('moves and stretches with the draws, and is the highest mean without a spread', () => {
    expect(expectedMaximum([{ count: 10, mean: 7, deviation: 0.5 }])).toBeCloseTo(7 + 0.5 * 1.53875, 5)
    const draws = [
      { count: 3, mean: 2, deviation: 0 },
      { count: 5, mean: 1, deviation: 0 },
    ]
    expect(expectedMaximum(draws)).toBe(2)
  })

  it('of passes: each worker sums its own', () => {
    const { parts } = workersStep({ ...request, workers: 10, passes: 40, passSpread: 0.1, traffic: silent })
    expect(parts.stragglers).toBeCloseTo(1.53875 * 0.1 * 0.5 * Math.sqrt(4), 5)
  })
})

describe.each([-1, Number.NaN, Infinity, '1', null, true].map((wrong) => [wrong as number] as const))('%o', (wrong) => {
  const refused = (changes: object, name: string) =>
    expect(() => workersStep({ ...request, ...changes })).toThrow(
      expect.objectContaining({ kind: 'usage', message: expect.stringContaining(name) }),
    )
  it('is refused by name', () => {
    for (const key of ['workers', 'passes', 'passSeconds', 'passSpread', 'updateSeconds', 'hiddenShare'])
      refused({ [key]: wrong }, key)
    for (const key of ['latencySeconds', 'bytesPerSecond'])
      if (!(key === 'bytesPerSecond' && wrong === Infinity)) refused({ link: { ...request.link, [key]: wrong } }, key)
    for (const key of Object.keys(request.cost)) refused({ cost: { ...request.cost, [key]: wrong } }, key)
    refused({ traffic: { ...silent, figures: { ...none, bytes: wrong } } }, 'traffic.figures.bytes')
  })
})

it('shares are at most 1', () => {
  expect(() => workersStep({ ...request, hiddenShare: 1.1 })).toThrow('hiddenShare must be at most 1, got 1.1')
  expect(() => workersStep({ ...request, cost: { ...free, bandwidthShare: 2 } })).toThrow('bandwidthShare must be at most 1')
})
