/** What the pace learns, on machines whose steps take what a formula says. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../random.ts'
import { spreadOf } from '../spread.ts'
import { PromptPace } from './prompt-pace.ts'

/** Steps on a machine where `rows` of them take `ms(rows)`; the slowdown of each that had prompts. */
function run(pace: PromptPace, ms: (rows: number) => number, generating: number, steps: number, rowsEach = 1) {
  const slowdowns: { prompts: number; slowdown: number }[] = []
  let without = 0
  for (let step = 0; step < steps; step++) {
    const tokens = pace.tokens(generating)
    const prompts = tokens === 0 ? 0 : Math.max(1, Math.floor(tokens / rowsEach)) * rowsEach
    const time = ms(generating + prompts)
    pace.note({ generating, prompts, ms: time })
    if (prompts > 0) slowdowns.push({ prompts, slowdown: time / ms(generating) })
    else without++
  }
  return { slowdowns, without }
}

describe('the pace of prompts', () => {
  it('comes to what a step may take longer, within an eighth, on any machine', () => {
    const machine = fc.record({
      // Weights are read once, whatever the rows; what the rows themselves cost comes on top, or instead where it is more.
      read: fc.double({ min: 5, max: 100, noNaN: true }),
      row: fc.double({ min: 0.05, max: 2, noNaN: true }),
      generating: fc.integer({ min: 1, max: 32 }),
      slowdown: fc.double({ min: 1.3, max: 3, noNaN: true }),
    })
    fc.assert(
      fc.property(machine, fc.boolean(), ({ read, row, generating, slowdown }, overlaps) => {
        const ms = (rows: number) => (overlaps ? Math.max(read, row * rows) : read + row * rows)
        const { slowdowns, without } = run(new PromptPace(slowdown, 256), ms, generating, 200)
        const later = slowdowns.slice(-100)
        const median = later.map((one) => one.slowdown).sort((a, b) => a - b)[50]!
        const single = ms(generating + 1) / ms(generating)
        // An eighth more is tried now and then.
        expect(median).toBeLessThanOrEqual(Math.max(slowdown * 1.13, single * 1.001))
        for (const one of later) expect(one.slowdown).toBeLessThanOrEqual(Math.max(slowdown * 1.25, single * 1.001))
        // And no slower than it must be.
        const room = ms(generating + 256) / ms(generating) < slowdown * 0.9
        if (room) expect(later.at(-1)!.prompts).toBe(256)
        expect(without).toBeLessThan(30)
      }),
    )
  })

  it('follows a machine that becomes slower, and a prompt of many rows', () => {
    const pace = new PromptPace(1.5, 256)
    run(pace, (rows) => 20 + rows, 4, 100)
    const { slowdowns } = run(pace, (rows) => 20 + 4 * rows, 4, 60)
    expect(slowdowns.slice(10).filter(({ slowdown }) => slowdown > 1.9)).toEqual([])
    const eight = run(pace, (rows) => 20 + 4 * rows, 4, 60, 8)
    expect(eight.slowdowns.every(({ prompts }) => prompts >= 8)).toBe(true)
  })

  it('measures a step without prompts when other rows generate than before, and every now and then', () => {
    const pace = new PromptPace(1.5, 256)
    expect(pace.tokens(4)).toBe(0)
    pace.note({ generating: 4, prompts: 0, ms: 10 })
    expect([pace.tokens(4), pace.tokens(5), pace.tokens(8), pace.tokens(2)]).toEqual([16, 16, 0, 0])
    for (let i = 0; i < 16; i++) pace.note({ generating: 4, prompts: 16, ms: 14.9 })
    expect(pace.tokens(4)).toBe(0)
  })

  it.each([
    [2, 1],
    [1, 2, 4],
    [1, 3, 9, 27, 3, 50],
  ])('goes on, and is learnt, while other rows generate in each step: %i, %i, ..', (...cycle) => {
    const pace = new PromptPace(1.5, 256)
    const [read, row] = [40, 0.5]
    let without = 0
    for (let step = 0; step < 2000; step++) {
      const generating = cycle[step % cycle.length]!
      const prompts = pace.tokens(generating)
      if (prompts === 0) without++
      pace.note({ generating, prompts, ms: read + row * (generating + prompts) })
    }
    expect(without).toBeLessThan(2000 / 8)
    // Half as long again as a step alone, or an eighth more.
    const fitting = (rows: number) => (0.5 * (read + row * rows)) / row
    const last = pace.tokens(cycle[0]!) || pace.tokens(cycle[1]!)
    expect(last).toBeGreaterThan(fitting(Math.min(...cycle)) * 0.7)
    expect(last).toBeLessThan(fitting(Math.max(...cycle)) * 1.13)
  })

  it('is not starved by a machine that stops now and then', () => {
    const random = createRandom(3)
    const stops = () => (random.uniform() < 0.2 ? 2 + 4 * random.uniform() : 1)
    const { slowdowns } = run(new PromptPace(1.5, 256), (rows) => (20 + rows) * stops(), 4, 2000)
    // 12 would fit; the clock says so in four steps of five.
    expect(spreadOf(slowdowns.slice(100).map(({ prompts }) => prompts)).lowerQuartile).toBeGreaterThanOrEqual(8)
  })

  it('is what is said where nothing is to be learnt', () => {
    const pace = new PromptPace(Number.POSITIVE_INFINITY, 32)
    pace.note({ generating: 4, prompts: 32, ms: 1000 })
    expect(pace.tokens(4)).toBe(32)
  })
})
