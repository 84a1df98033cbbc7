/** What is kept of finished requests, on a decoder that computes nothing. That reuse changes no result is the engines' contract. */
import { describe, expect, it } from 'vitest'
import { Scheduler, type SchedulerOptions, type TokenRequest } from './index.ts'
import { fakeEngine } from './testing/fake-decoder.ts'

const count = (from: number, length: number) => Array.from({ length }, (_, i) => (from + i) % 200)

function setUp(options: SchedulerOptions, ragged = true) {
  const { engine, decoder } = fakeEngine({ ragged, p: [4] })
  const scheduler = new Scheduler(engine, options)
  /** Tokens found, and computed of the prompt. */
  const run = async (promptIds: number[], more: Partial<TokenRequest> = {}) => {
    decoder.steps.length = 0
    const { cachedTokens } = await scheduler.submit({ promptIds, maxTokens: 1, sampling: { temperature: 0 }, p: 1, ...more })
    const computed = promptIds.length - cachedTokens + (more.maxTokens ?? 1) - 1
    expect(decoder.steps.flat().reduce((sum, { ids }) => sum + ids, 0)).toBe((more.p ?? 1) * computed)
    return cachedTokens
  }
  return { run, scheduler, decoder }
}

describe('prompts that begin alike', () => {
  it('are computed from where they part', async () => {
    const { run, scheduler } = setUp({ keptBytes: 10_000 })
    const system = count(0, 100)
    expect(await run([...system, 7, 8, 9])).toBe(0)
    expect(await run([...system, 5, 6])).toBe(100)
    // The first one is still there.
    expect(await run([...system, 7, 8, 9, 10, 11])).toBe(103)
    expect(await run([...system, 5, 6, 1])).toBe(102)
    expect(scheduler.counters).toMatchObject({ cachedTokens: 100 + 103 + 102, generatedTokens: 4, running: 0, rows: 0 })
  })

  it('go on from what was generated', async () => {
    const { run } = setUp({ keptBytes: 10_000 })
    await run(count(0, 20), { maxTokens: 10 })
    // Of the last token generated nothing was computed.
    expect(await run(count(0, 40))).toBe(29)
  })

  it('share nothing with another P, and nothing where their own results are wanted', async () => {
    const { run } = setUp({ keptBytes: 10_000 })
    await run(count(0, 50))
    expect(await run(count(0, 60), { p: 4 })).toBe(0)
    expect(await run(count(0, 60), { promptLogprobs: 0 })).toBe(0)
    expect(await run(count(0, 61))).toBe(60)
  })

  it('are not looked for below eight tokens', async () => {
    const { run } = setUp({ keptBytes: 10_000 })
    await run(count(0, 50))
    expect(await run([...count(0, 7), 100])).toBe(0)
    expect(await run([...count(0, 8), 100])).toBe(8)
  })
})

describe('what is kept', () => {
  it.each([true, false])('never takes more than its bound, oldest use goes first (ragged: %s)', async (ragged) => {
    const { run, scheduler } = setUp({ keptBytes: 3 * 64 }, ragged)
    for (const from of [0, 50, 100]) await run(count(from, 30))
    expect(scheduler.counters.keptBytes).toBe(3 * 64)
    expect(await run([...count(0, 30), 199])).toBe(30) // used: now 50 is the oldest
    await run(count(150, 30))
    expect(scheduler.counters.keptBytes).toBe(3 * 64)
    expect(await run([...count(0, 30), 199])).toBe(30)
    expect(await run([...count(50, 30), 199])).toBe(0)
    await run(count(20, 300)) // more than there is room for
    expect(scheduler.counters.keptBytes).toBeLessThanOrEqual(3 * 64)
  })

  it('is nothing by default, nor of requests that failed or were told to leave', async () => {
    const { run, scheduler, decoder } = setUp({})
    await run(count(0, 50))
    expect([scheduler.counters.keptBytes, decoder.openRows]).toEqual([0, 0])
    const keeping = setUp({ keptBytes: 10_000 })
    const left = new AbortController()
    const request = { promptIds: count(0, 50), maxTokens: 100, signal: left.signal, onToken: () => left.abort(new Error('left')) }
    await expect(keeping.scheduler.submit(request)).rejects.toThrow('left')
    expect([keeping.scheduler.counters.keptBytes, keeping.decoder.openRows]).toEqual([0, 0])
  })

  it('holds no text twice, and can be let go', async () => {
    const { run, scheduler, decoder } = setUp({ keptBytes: 10_000 })
    for (const length of [50, 60, 40, 60]) await run(count(0, length))
    expect(decoder.openRows).toBe(1)
    await scheduler.releaseKept()
    expect([scheduler.counters.keptBytes, decoder.openRows]).toEqual([0, 0])
  })
})

it('takes few tokens of prompts into a step in which others generate', async () => {
  const { engine, decoder } = fakeEngine({ ragged: true, p: [4] })
  const scheduler = new Scheduler(engine, { promptTokensBeside: 16 })
  const sampling = { temperature: 0 }
  const generating = scheduler.submit({ promptIds: [1], maxTokens: 40, sampling, p: 1 })
  await engine.turn(() => {})
  const prompts = [4, 1].map((p) => scheduler.submit({ promptIds: count(0, 120), maxTokens: 1, sampling, p }))
  await Promise.all([generating, ...prompts])
  const mixed = decoder.steps.filter((rows) => rows.some(({ ids }) => ids === 1) && rows.length > 1)
  expect(mixed.length).toBeGreaterThan(30)
  for (const rows of mixed.slice(0, 38)) expect(rows.reduce((sum, { ids }) => sum + ids, 0)).toBeLessThanOrEqual(17)
})
