/** Who steps when: policy, on a decoder that computes nothing. What requests get is the engines' contract. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Engine, logitsPerStep, PromptCache, rowTokensPerStep, Scheduler, type TokenRequest } from './index.ts'
import { planStep } from './step-plan.ts'
import { fakeEngine } from './testing/fake-decoder.ts'

const sampling = { temperature: 0 }
const prompt = (length: number) => Array.from({ length }, (_, i) => i % 200)
const total = (rows: readonly { ids: number }[]) => rows.reduce((sum, { ids }) => sum + ids, 0)
const turns = async (engine: Engine, count: number) => {
  for (let i = 0; i < count; i++) await engine.turn(() => {})
}

describe('readers', () => {
  it('are woken when the next step computes, or none has to, and before they hear of the end', async () => {
    const { engine, decoder } = fakeEngine({ ragged: true })
    const scheduler = new Scheduler(engine)
    const events: string[] = []
    const note = (what: string) => void events.push(`${what} ${decoder.steps.length}`)
    const submit = (name: string, maxTokens: number) =>
      scheduler
        .submit({
          ...{ promptIds: [name.charCodeAt(0)], maxTokens, sampling },
          onToken: () => note(`${name} token`),
          onTold: () => note(`${name} told`),
        })
        .then(() => note(`${name} ends`))
    await Promise.all([submit('a', 2), submit('b', 3)])
    const steps = [
      ['a token 1', 'b token 1'],
      ['a told 2', 'b told 2', 'a token 2', 'b token 2'],
      ['a told 3', 'b told 3', 'a ends 3', 'b token 3'],
      ['b told 3', 'b ends 3'],
    ]
    expect(events).toEqual(steps.flat())
    expect(scheduler.counters.stepMs).toBeGreaterThan(0)
    expect(scheduler.counters.betweenMs).toBeGreaterThan(0)
  })

  it('are woken at once where others have the turn', async () => {
    const { engine, decoder } = fakeEngine({ ragged: true })
    const scheduler = new Scheduler(engine)
    const told: number[] = []
    let atOthers = 0
    let others: Promise<void> | undefined
    await scheduler.submit({
      ...{ promptIds: [1], maxTokens: 3, sampling },
      onToken: () => {
        others ??= engine.turn(async () => {
          await new Promise((resolve) => setImmediate(resolve))
          atOthers = told.length
        })
      },
      onTold: () => void told.push(decoder.steps.length),
    })
    await others
    expect(atOthers).toBe(1)
    expect(told).toEqual([1, 3, 3])
  })
})

describe.each([true, false])('ragged: %s', (ragged) => {
  it('keeps every step within its budget, and computes every id once', async () => {
    const request = fc.record({
      length: fc.integer({ min: 1, max: 700 }),
      p: fc.constantFrom(1, 3, 8),
      maxTokens: fc.nat(9),
      all: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 60 }), async (requests) => {
        const vocabSize = 2 ** 17 // 128 rows of logits fill a step
        const { engine, decoder } = fakeEngine({ ragged, p: [3, 8], vocabSize })
        decoder.logits = async (hidden) => {
          decoder.products.push(hidden.length)
          return new Float32Array(new ArrayBuffer(0)) // too many to make
        }
        const scheduler = new Scheduler(engine)
        const submit = ({ length, p, all }: { length: number; p: number; all: boolean }, i: number) => {
          const promptIds = [200 + i, ...prompt(length - 1)] // no two begin alike
          return scheduler.submit({ promptIds, p, maxTokens: 0, ...(all ? { onPositions() {} } : { hidden: 'last' }) })
        }
        await Promise.all(requests.map(submit))
        const rowTokens = requests.reduce((sum, { length, p }) => sum + length * p, 0)
        expect(decoder.steps.reduce((sum, rows) => sum + total(rows), 0)).toBe(rowTokens)
        expect(scheduler.counters).toEqual({
          running: 0,
          waiting: 0,
          rows: 0,
          steps: decoder.steps.length,
          rowTokens,
          promptTokens: requests.reduce((sum, { length }) => sum + length, 0),
          cachedTokens: 0,
          generatedTokens: 0,
          cacheBytes: 0,
          keptBytes: 0,
          stepMs: expect.any(Number),
          betweenMs: expect.any(Number),
        })
        for (const rows of decoder.steps) {
          const longest = Math.max(...rows.map(({ ids }) => ids))
          expect(ragged ? total(rows) : rows.length * longest).toBeLessThanOrEqual(rowTokensPerStep)
          if (!ragged) {
            expect(new Set(rows.map(({ ids }) => ids > 1)).size).toBe(1)
            expect(2 * total(rows)).toBeGreaterThanOrEqual(rows.length * longest)
          }
        }
        for (const rows of decoder.products) expect(rows).toBeLessThanOrEqual(logitsPerStep / vocabSize)
        expect(decoder.products.reduce((sum, rows) => sum + rows, 0)).toBe(
          requests.reduce((sum, { length, all }) => sum + (all ? length : 0), 0),
        )
      }),
      { numRuns: 40, seed: 4 },
    )
  })

  it('does not let a long prompt stall those that generate', async () => {
    const { engine, decoder } = fakeEngine({ ragged })
    const scheduler = new Scheduler(engine)
    const at: number[] = []
    const generating = scheduler.submit({
      ...{ promptIds: [1], maxTokens: 30, sampling },
      onToken: () => void at.push(decoder.steps.length),
    })
    await turns(engine, 3)
    await scheduler.submit({ promptIds: prompt(4000), maxTokens: 1, sampling })
    await generating
    expect(at).toHaveLength(30)
    expect(Math.max(...at.slice(1).map((step, i) => step - at[i]!))).toBeLessThanOrEqual(2)
    // Where lengths mix, the prompt costs them one step in which it was first.
    if (ragged) expect(at.at(-1)! - at[0]!).toBeLessThanOrEqual(30)
  })

  it('does not let those that generate stall a prompt, though they fill every step', async () => {
    const { engine, decoder } = fakeEngine({ ragged })
    const scheduler = new Scheduler(engine)
    const stop = new AbortController()
    const steps = Array.from({ length: 300 }, () => [] as number[])
    const generating = steps.map((at, i) =>
      scheduler
        .submit({
          ...{ promptIds: [i % 200], maxTokens: 4000, sampling, signal: stop.signal },
          onToken: () => void at.push(decoder.steps.length),
        })
        .catch(() => {}),
    )
    await turns(engine, 4)
    const before = decoder.steps.length
    await scheduler.submit({ promptIds: prompt(2048), maxTokens: 1, sampling })
    // Eight steps would do for the prompt alone. None of the others, who need two steps together, waits for more than two.
    expect(decoder.steps.length - before).toBeLessThanOrEqual(3 * 8)
    const waits = steps.flatMap((at) => at.slice(1).map((step, i) => step - at[i]!))
    expect(Math.max(...waits)).toBeLessThanOrEqual(3)
    stop.abort()
    await Promise.all(generating)
    expect(decoder.openRows).toBe(0)
  })

  it('takes prompts one after the other, so that the first is through first', async () => {
    const { engine, decoder } = fakeEngine({ ragged })
    const scheduler = new Scheduler(engine)
    const first: number[] = []
    const submit = (id: number) =>
      scheduler.submit({
        promptIds: [id, ...prompt(1023)],
        maxTokens: 1,
        sampling,
        onToken: () => void first.push(decoder.steps.length),
      })
    await Promise.all([submit(1), submit(2), submit(3)])
    expect(first).toEqual([4, 8, 12])
  })
})

describe('admission', () => {
  const { engine, decoder } = fakeEngine({ ragged: true, p: [4] })

  it('lets in so many rows, and the others in the order of their coming', async () => {
    const scheduler = new Scheduler(engine, { maxRows: 6 })
    const order: number[] = []
    let most = 0
    const all = [4, 1, 1, 4, 1, 8].map((p, i) =>
      scheduler.submit({
        ...{ promptIds: [1], p: p === 8 ? 4 : p, maxTokens: 3, sampling },
        onToken: () => {
          most = Math.max(most, decoder.openRows)
          if (!order.includes(i)) order.push(i)
        },
      }),
    )
    await turns(engine, 1)
    expect(scheduler.counters).toMatchObject({ running: 3, waiting: 3, cacheBytes: 6 })
    await Promise.all(all)
    expect(order).toEqual([0, 1, 2, 3, 4, 5])
    expect(most).toBe(6)
  })

  it('lets in the requests of one owner in turn with those of others', async () => {
    const scheduler = new Scheduler(engine, { maxRows: 2 })
    const order: string[] = []
    const submit = (name: string, owner?: object) =>
      scheduler.submit({
        ...{ promptIds: [1], p: 1, maxTokens: 3, sampling, ...(owner && { owner }) },
        onToken: () => void (order.includes(name) || order.push(name)),
      })
    const many = {}
    const all = Array.from({ length: 100 }, (_, i) => submit(`many ${i}`, many))
    await turns(engine, 4)
    const other = {}
    all.push(submit('other 0', other), submit('other 1', other), submit('alone'))
    await Promise.all(all)
    const place = (name: string) => order.indexOf(name)
    // One each that runs, one that has the same turn.
    expect(place('other 0')).toBeLessThanOrEqual(6)
    expect(place('alone')).toBeLessThanOrEqual(6)
    expect(place('other 1') - place('other 0')).toBeLessThanOrEqual(4)
    expect(order.filter((name) => name.startsWith('many'))).toEqual(Array.from({ length: 100 }, (_, i) => `many ${i}`))
  })

  it('lets in what the cache may come to hold, and one that is too large alone', async () => {
    const scheduler = new Scheduler(engine, { maxCachedTokens: 100 })
    const running: number[] = []
    const submit = (length: number, maxTokens: number, p: number) =>
      scheduler.submit({
        promptIds: prompt(length),
        p,
        maxTokens,
        sampling,
        onPrefill: () => void running.push(scheduler.counters.running),
      })
    await Promise.all([submit(10, 10, 4), submit(10, 10, 1), submit(200, 1, 4), submit(5, 5, 1)])
    expect(Math.max(...running)).toBe(2)
    expect(running).toContain(1)
  })

  it('refuses what is wrong at once, though others wait', async () => {
    const scheduler = new Scheduler(engine, { maxRows: 1 })
    const first = scheduler.submit({ promptIds: [1], p: 1, maxTokens: 50, sampling })
    const bad: [Partial<TokenRequest>, string][] = [
      [{ promptIds: [] }, 'no tokens'],
      [{ promptIds: [300] }, 'token id 300'],
      [{ maxTokens: 0 }, 'maxTokens must be an integer of at least 1'],
      [{ maxTokens: -1, hidden: 'last' }, 'maxTokens must be an integer of at least 0'],
      [{ topLogprobs: 1.5 }, 'topLogprobs must be an integer of at least 0, got 1.5'],
      [{ promptLogprobs: -1 }, 'promptLogprobs must be'],
    ]
    for (const [wrong, message] of bad)
      await expect(scheduler.submit({ promptIds: [1], maxTokens: 1, sampling, ...wrong })).rejects.toThrow(message)
    expect(scheduler.counters.running).toBe(1)
    await first
  })

  it('ends a request that is aborted while it waits, though nothing else moves', async () => {
    const scheduler = new Scheduler(engine, { maxRows: 1 })
    const abort = [new AbortController(), new AbortController()] as const
    const held = scheduler.submit({
      ...{ promptIds: [1, 2], p: 1, maxTokens: 0, hidden: 'last', signal: abort[0].signal },
      ...{ onPositions() {}, pause: () => new Promise<void>(() => {}), maxTokens: 5 },
    })
    const waiting = scheduler.submit({ promptIds: [1], p: 1, maxTokens: 1, sampling, signal: abort[1].signal })
    await turns(engine, 5)
    expect(scheduler.counters).toMatchObject({ running: 1, waiting: 1 })
    abort[1].abort(new Error('no more'))
    await expect(waiting).rejects.toThrow('no more')
    abort[0].abort(new Error('nor this'))
    await expect(held).rejects.toThrow('nor this')
    expect(decoder.openRows).toBe(0)
  })
})

it('leaves a paused request out of steps, and lets it go on', async () => {
  const { engine } = fakeEngine({ ragged: true })
  const scheduler = new Scheduler(engine)
  let goOn = () => {}
  const seen: number[] = []
  const paused = scheduler.submit({
    ...{ promptIds: prompt(600), maxTokens: 0, onPositions: (at: number) => void seen.push(at) },
    pause: () => new Promise<void>((resolve) => (goOn = resolve)),
  })
  await scheduler.submit({ promptIds: [1], maxTokens: 20, sampling })
  expect(seen).toEqual([0])
  while (seen.length < 3) {
    goOn()
    await turns(engine, 3)
  }
  await paused
  // Beside the other's one id in the first step.
  expect(seen).toEqual([0, 255, 511])
})

it('computes what a prompt cache holds again only where its results are wanted', async () => {
  const { engine, decoder } = fakeEngine({ ragged: true })
  const scheduler = new Scheduler(engine)
  const cache = new PromptCache()
  const lengths = async (request: Partial<TokenRequest>) => {
    decoder.steps.length = 0
    await scheduler.submit({ promptIds: prompt(100), maxTokens: 1, sampling, cache, ...request })
    return decoder.steps.flat()
  }
  expect(await lengths({})).toEqual([{ ids: 100, length: 0 }])
  expect(await lengths({})).toEqual([{ ids: 1, length: 99 }])
  expect(await lengths({ hidden: 'last' })).toEqual([{ ids: 1, length: 99 }])
  expect(await lengths({ onPositions() {}, positionsFrom: 40 })).toEqual([{ ids: 60, length: 40 }])
  expect(await lengths({ promptLogprobs: 0 })).toEqual([{ ids: 100, length: 0 }])
  expect(scheduler.counters.cachedTokens).toBe(99 + 99 + 40)
  await scheduler.release(cache)
})

describe("streams' own choices", () => {
  it('are made in the one product of a step, within its budget', async () => {
    const vocabSize = 2 ** 20 // 16 rows of logits fill a step
    const { engine, decoder } = fakeEngine({ ragged: true, p: [3], vocabSize })
    const scheduler = new Scheduler(engine)
    const told: unknown[] = []
    const submit = (id: number, streamChoices: boolean) =>
      scheduler.submit({
        ...{ promptIds: [id, id, id], p: 3, maxTokens: 1, sampling, streamChoices },
        onToken: ({ streamChoices }) => void told.push(streamChoices?.map(({ id }) => id)),
      })
    await Promise.all([1, 2, 3, 4, 5, 6].map((id) => submit(10 * id, id !== 2)))
    const each = [11, undefined, 31, 41, 51, 61].map((id) => id && [id, id, id])
    expect(told).toEqual(each)
    // With its streams' a request needs four rows; a piece of a prompt before the last id needs none.
    expect(decoder.products).toEqual([13, 8])
    expect(decoder.steps).toHaveLength(2)
  })

  it('run, where one alone is over the budget', () => {
    const request = { p: 3, left: 1, logits: () => 4 }
    const limits = { rowTokens: 256, promptTokensBeside: 256, logits: 1, ragged: true }
    expect(planStep([request, request], limits)).toEqual([{ request, count: 1 }])
  })
})

it.each([1, 4])('gives the mean of the hidden states without holding all of them (P = %i)', async (p) => {
  const { engine } = fakeEngine({ ragged: true, p: [4] })
  const scheduler = new Scheduler(engine)
  const submit = (hidden: 'last' | 'mean' | 'all') => scheduler.submit({ promptIds: prompt(1001), p, maxTokens: 0, hidden })
  // Hidden states of this decoder are the ids themselves, 0 to 199 five times, and one 0.
  const sum = (5 * 199 * 200) / 2
  expect((await submit('mean')).hidden).toEqual(Float32Array.of(sum / 1001))
  expect((await submit('all')).hidden).toEqual(Float32Array.from(prompt(1001)))
  expect((await submit('last')).hidden).toEqual(Float32Array.of(0))
})

describe('prompts that begin alike', () => {
  const setUp = (options: Parameters<typeof fakeEngine>[0], promptTokensBeside?: number) => {
    const { engine, decoder } = fakeEngine(options)
    const scheduler = new Scheduler(engine, { ...(promptTokensBeside !== undefined && { promptTokensBeside }) })
    const submit = (promptIds: number[], more: Partial<TokenRequest> = {}) => {
      const ids: number[] = []
      const request = { promptIds, maxTokens: 3, sampling, p: 1, ...more }
      return scheduler
        .submit({ ...request, onToken: (token) => void ids.push(token.id) })
        .then(({ cachedTokens }) => ({ cachedTokens, ids }))
    }
    const computed = () => decoder.steps.flat().reduce((sum, { ids }) => sum + ids, 0)
    return { engine, decoder, scheduler, submit, computed }
  }

  it.each([true, false])('compute once what they share, as they come together or later (ragged: %s)', async (ragged) => {
    const { engine, decoder, scheduler, submit, computed } = setUp({ ragged, p: [4] })
    const long = prompt(700)
    const together = [long, long, [...long.slice(0, 500), 7, 8], long.slice(0, 3)].map((ids) => submit(ids))
    const other = submit(long, { p: 4, maxTokens: 1 })
    const found = await Promise.all(together)
    expect(found.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 699, 500, 0])
    expect(found.map(({ ids }) => ids)).toEqual([
      [100, 101, 102],
      [100, 101, 102],
      [9, 10, 11],
      [3, 4, 5],
    ])
    await other
    // Of the last token that each generates nothing is computed.
    expect(computed()).toBe(700 + 1 + 2 + 3 + 4 * 2 + 4 * 700)
    decoder.steps.length = 0
    const going = submit(long, { maxTokens: 60 })
    await turns(engine, 20)
    expect((await submit([...long, 100, 101, 102, 103])).cachedTokens).toBe(703)
    await going
    expect(computed()).toBe(700 + 59 + 1 + 2)
    expect(scheduler.counters.cachedTokens).toBe(699 + 500 + 703)
    expect(decoder.openRows).toBe(0)
  })

  it('go on from what there is where the one that computes it leaves, and wait for none that pauses', async () => {
    const { decoder, submit, computed } = setUp({ ragged: true })
    const left = new AbortController()
    const onPrefill = (done: number) => done >= 512 && left.abort(new Error('left'))
    const first = submit(prompt(1000), { signal: left.signal, onPrefill })
    const second = submit(prompt(1000), { maxTokens: 1 })
    await expect(first).rejects.toThrow('left')
    expect((await second).cachedTokens).toBe(512)
    expect(computed()).toBe(1000)
    // Its reader never comes back.
    void submit(prompt(900), { maxTokens: 1, pause: () => new Promise(() => {}) })
    expect((await submit(prompt(900), { maxTokens: 1 })).cachedTokens).toBe(0)
    expect(decoder.openRows).toBe(1)
  })

  it.each([0, 600])('wait for none whose mask is worked out, before its prompt or in it (%i tokens)', async (after) => {
    const { engine, scheduler, submit } = setUp({ ragged: true })
    // Rounds that step nothing would keep the timer, which ends the pause, from its turn: they stop here instead.
    let turnsTaken = 0
    const turn = engine.turn.bind(engine)
    engine.turn = (work) => (++turnsTaken > 1000 ? new Promise(() => {}) : turn(work))
    let isSlow = after === 0
    const prepare = () => (isSlow ? new Promise<void>((resolve) => setTimeout(resolve, 50)) : undefined)
    const allowed = () => new Uint32Array(10).fill(2 ** 32 - 1)
    const order: string[] = []
    const constrained = submit(prompt(900), {
      constraint: { allowed, prepare, accept() {}, done: false },
      onPrefill: (done) => {
        isSlow = done < 900 && done >= after
      },
    }).finally(() => order.push('constrained'))
    const plain = submit([...prompt(899), 7], { maxTokens: 1 }).finally(() => order.push('plain'))
    expect((await plain).ids).toEqual([8])
    expect((await constrained).ids).toEqual([100, 101, 102])
    expect(order).toEqual(['plain', 'constrained'])
    expect(turnsTaken).toBeLessThan(100)
    expect(scheduler.counters.running).toBe(0)
  })

  it('are still computed once by those whose masks are worked out together', async () => {
    const { submit } = setUp({ ragged: true })
    const pause = new Promise<void>((resolve) => setTimeout(resolve, 20))
    let isReady = false
    void pause.then(() => (isReady = true))
    const constraint = () => ({
      allowed: () => new Uint32Array(10).fill(2 ** 32 - 1),
      prepare: () => (isReady ? undefined : pause),
      accept() {},
      done: false,
    })
    const found = await Promise.all([1, 2].map(() => submit(prompt(300), { constraint: constraint() })))
    expect(found.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 299])
  })

  it('are computed whole by each where the results of their positions are wanted', async () => {
    const { submit } = setUp({ ragged: true })
    const found = await Promise.all([1, 2].map(() => submit(prompt(300), { promptLogprobs: 0 })))
    expect(found.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0])
    const last = await Promise.all([1, 2].map(() => submit(prompt(300), { hidden: 'last', maxTokens: 0 })))
    expect(last.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 299])
  })
})
