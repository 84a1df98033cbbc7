import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { learningRate, type Schedule, validateSchedule } from './schedules.ts'

const rates = (schedule: Schedule, steps: readonly number[]) => steps.map((step) => learningRate(schedule, step))

describe('learningRate', () => {
  it('warms up, then stays', () => {
    expect(rates({ kind: 'constant', peak: 8, warmupSteps: 4 }, [1, 2, 3, 4, 5, 1000])).toEqual([2, 4, 6, 8, 8, 8])
  })

  it('falls linearly', () => {
    const schedule = { kind: 'linear', peak: 10, warmupSteps: 0, totalSteps: 8, final: 2 } as const
    expect(rates(schedule, [2, 4, 6, 8, 9])).toEqual([8, 6, 4, 2, 2])
  })

  it('falls along half a cosine: cos 60 and 90 degrees are a quarter and half of the way', () => {
    const schedule = { kind: 'cosine', peak: 5, warmupSteps: 10, totalSteps: 70, final: 1 } as const
    const [start, quarter, half, end, after] = rates(schedule, [10, 30, 40, 70, 100])
    expect(start).toBe(5)
    expect(quarter).toBeCloseTo(4, 12)
    expect(half).toBeCloseTo(3, 12)
    expect([end, after]).toEqual([1, 1])
  })

  it('holds the peak and decays in the last steps', () => {
    const schedule = { kind: 'wsd', peak: 6, warmupSteps: 2, totalSteps: 20, decaySteps: 4, final: 2 } as const
    expect(rates(schedule, [1, 2, 10, 16, 17, 18, 19, 20, 21])).toEqual([3, 6, 6, 6, 5, 4, 3, 2, 2])
  })

  it('never leaves the range, rises only in the warm-up, and ends where it should', () => {
    const anyEnding = fc
      .record({
        kind: fc.constantFrom('linear' as const, 'cosine' as const, 'wsd' as const),
        peak: fc.double({ min: 1e-6, max: 1, noNaN: true }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        warmupSteps: fc.nat(20),
        between: fc.nat(20),
        decaySteps: fc.nat(20),
      })
      .map(({ share, between, ...rest }) => ({
        ...rest,
        final: rest.peak * share,
        totalSteps: rest.warmupSteps + between + rest.decaySteps + 1,
      }))
    fc.assert(
      fc.property(anyEnding, (schedule) => {
        validateSchedule(schedule)
        const all = rates(
          schedule,
          Array.from({ length: schedule.totalSteps + 3 }, (_, i) => i + 1),
        )
        for (const [i, rate] of all.entries()) {
          expect(rate).toBeGreaterThan(0 - Number.EPSILON)
          expect(rate).toBeLessThanOrEqual(schedule.peak)
          if (i >= schedule.warmupSteps && i > 0) expect(rate).toBeLessThanOrEqual(all[i - 1]! * (1 + 1e-12))
        }
        for (const rate of all.slice(schedule.totalSteps)) expect(rate).toBeCloseTo(schedule.final, 12)
      }),
    )
  })
})

describe('validateSchedule', () => {
  it.each<[Schedule, string]>([
    [{ kind: 'constant', peak: 0, warmupSteps: 0 }, 'the peak must be positive, got 0'],
    [{ kind: 'constant', peak: 1, warmupSteps: 0.5 }, 'warm-up must be a number of steps'],
    [{ kind: 'cosine', peak: 1, warmupSteps: 0, totalSteps: 10, final: 2 }, 'between 0 and the peak 1, got 2'],
    [{ kind: 'wsd', peak: 1, warmupSteps: 6, totalSteps: 10, decaySteps: 5, final: 0 }, '11 steps of warm-up and decay'],
    [{ kind: 'wsd', peak: 1, warmupSteps: 0, totalSteps: 10, decaySteps: -1, final: 0 }, 'the decay must be a number'],
  ])('refuses %o', (schedule, message) => {
    expect(() => validateSchedule(schedule)).toThrow(message)
  })
})
