/** What must hold of the engine whatever the model: mixtures, forks, chunks and order change nothing. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { argmax, fixturesFolder, maxDifference } from '../../testing/fixtures.ts'
import { beamSearch, type Engine, logSoftmax, Scheduler } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

export function sequencesContract({ load, tolerance }: EngineKind): void {
  let engine: Engine
  beforeAll(async () => {
    engine = await load(`${fixturesFolder}goldens/parscale-p4`, { threads: 2 })
  })
  afterAll(() => engine.model.dispose())

  /** Logits after each token of `ids`, computed alone and in one shot. */
  async function alone(ids: readonly number[], p: number): Promise<Float32Array> {
    const sequence = engine.open({ p })
    const [out] = await engine.step([{ sequence, ids, want: 'all' }])
    engine.close(sequence)
    return out!.logits.slice()
  }

  it('gives each sequence of a random mixture what it gives alone', async () => {
    const id = fc.integer({ min: 0, max: 258 })
    const request = fc.record({
      p: fc.constantFrom(1, 4),
      ids: fc.array(id, { minLength: 2, maxLength: 24 }),
      chunk: fc.integer({ min: 1, max: 9 }),
      joinsAt: fc.integer({ min: 0, max: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 5 }), async (requests) => {
        const running = requests.map((r) => ({
          ...r,
          at: 0,
          sequence: undefined as ReturnType<Engine['open']> | undefined,
          last: new Float32Array(0),
        }))
        for (let step = 0; running.some((r) => r.at < r.ids.length); step++) {
          const now = running.filter((r) => r.joinsAt <= step && r.at < r.ids.length)
          if (now.length === 0) continue
          for (const r of now) r.sequence ??= engine.open({ p: r.p })
          const results = await engine.step(
            now.map((r) => ({ sequence: r.sequence!, ids: r.ids.slice(r.at, r.at + r.chunk), want: 'last' })),
          )
          for (const [i, r] of now.entries()) {
            r.at += r.chunk
            r.last = results[i]!.logits.slice()
            // Leaves at once, so that the rows of those that stay have to close ranks.
            if (r.at >= r.ids.length) engine.close(r.sequence!)
          }
        }
        for (const r of running) {
          const expected = (await alone(r.ids, r.p)).slice(-r.last.length)
          expect(maxDifference(r.last, expected)).toBeLessThanOrEqual(tolerance)
        }
      }),
      { numRuns: 40, seed: 1 },
    )
  })

  it('goes on from a fork as from the original, and neither disturbs the other', async () => {
    const [a, b] = [engine.open(), engine.open({ p: 1 })]
    await engine.step([
      { sequence: a, ids: [1, 2, 3], want: 'none' },
      { sequence: b, ids: [9], want: 'none' },
    ])
    const [copy] = engine.fork(a, 1)
    const results = await engine.step([
      { sequence: copy!, ids: [7, 8], want: 'last' },
      { sequence: b, ids: [4, 5, 6], want: 'last' },
      { sequence: a, ids: [4], want: 'last' },
    ])
    for (const [result, ids, p] of [
      [results[0], [1, 2, 3, 7, 8], 4],
      [results[1], [9, 4, 5, 6], 1],
      [results[2], [1, 2, 3, 4], 4],
    ] as const) {
      expect(maxDifference(result!.logits, (await alone(ids, p)).slice(-259))).toBeLessThanOrEqual(tolerance)
    }
    for (const sequence of [a, b, copy!]) engine.close(sequence)
  })

  it('forgets what is truncated', async () => {
    const sequence = engine.open()
    await engine.step([{ sequence, ids: [1, 2, 3, 4, 5], want: 'none' }])
    engine.truncate(sequence, 2)
    const [out] = await engine.step([{ sequence, ids: [8, 9], want: 'last' }])
    expect(maxDifference(out!.logits, (await alone([1, 2, 8, 9], 4)).slice(-259))).toBeLessThanOrEqual(tolerance)
    engine.close(sequence)
  })

  it('is the plain backbone at P = 1', async () => {
    // The same weights as a plain qwen2 checkpoint have no prefix and no aggregation to run.
    const sequence = engine.open({ p: 1 })
    const [out] = await engine.step([{ sequence, ids: [5, 6, 7], want: 'all' }])
    expect(sequence.prefix).toBe(0)
    expect(out!.hidden).toEqual(out!.streams)
    engine.close(sequence)
  })

  it('refuses tokens outside the vocabulary, a full context and a P that is not there', async () => {
    const sequence = engine.open()
    await expect(engine.step([{ sequence, ids: [259], want: 'last' }])).rejects.toThrow(
      'token id 259 is not in the vocabulary of 259',
    )
    await expect(engine.step([{ sequence, ids: [-1], want: 'last' }])).rejects.toThrow('token id -1')
    await expect(engine.step([{ sequence, ids: Array(2049).fill(1), want: 'last' }])).rejects.toThrow(
      "do not fit the model's context of 2048",
    )
    expect(() => engine.open({ p: 3 })).toThrow('P = 3: this model has no such stream set; it has P = 1, 4')
    engine.close(sequence)
    await expect(engine.step([{ sequence, ids: [1], want: 'last' }])).rejects.toThrow('closed')
  })

  describe('scheduler', () => {
    const greedyAlone = async (prompt: readonly number[], p: number, count: number) => {
      const sequence = engine.open({ p })
      const ids: number[] = []
      let result = await engine.prefill(sequence, prompt)
      while (ids.push(argmax(result.logits)) < count)
        result = (await engine.step([{ sequence, ids: [ids.at(-1)!], want: 'last' }]))[0]!
      engine.close(sequence)
      return ids
    }

    it('gives requests that run together what each gives alone', async () => {
      const scheduler = new Scheduler(engine)
      const requests = [
        { promptIds: [1, 2, 3], p: 4, maxTokens: 12 },
        { promptIds: Array.from({ length: 300 }, (_, i) => (i * 31) % 259), p: 4, maxTokens: 5 },
        { promptIds: [200], p: 1, maxTokens: 20 },
        { promptIds: [17, 4, 17, 4, 17], p: 1, maxTokens: 1 },
      ]
      const together = await Promise.all(
        requests.map(async (request) => {
          const ids: number[] = []
          await scheduler.submit({ ...request, sampling: { temperature: 0 }, onToken: ({ id }) => void ids.push(id) })
          return ids
        }),
      )
      for (const [i, { promptIds, p, maxTokens }] of requests.entries())
        expect(together[i]).toEqual(await greedyAlone(promptIds, p, maxTokens))
    })

    it('ends an aborted request and leaves the others alone', async () => {
      const scheduler = new Scheduler(engine)
      const abort = new AbortController()
      const kept: number[] = []
      const aborted = scheduler.submit({
        promptIds: [1],
        maxTokens: 1000,
        sampling: { temperature: 0 },
        signal: abort.signal,
        onToken: () => abort.abort(new Error('enough')),
      })
      const other = scheduler.submit({
        promptIds: [2, 3],
        maxTokens: 8,
        sampling: { temperature: 0 },
        onToken: ({ id }) => void kept.push(id),
      })
      await expect(aborted).rejects.toThrow('enough')
      expect(await other).toMatchObject({ finishReason: 'length' })
      expect(kept).toEqual(await greedyAlone([2, 3], 4, 8))
    })

    it('gives the same text for the same seed, and other text for another', async () => {
      const scheduler = new Scheduler(engine)
      const sample = async (seed: number) => {
        const ids: number[] = []
        await scheduler.submit({
          promptIds: [1, 2],
          maxTokens: 20,
          sampling: { temperature: 1.5, seed },
          onToken: ({ id }) => void ids.push(id),
        })
        return ids
      }
      const [a, b, c] = [await sample(7), await sample(7), await sample(8)]
      expect(a).toEqual(b)
      expect(a).not.toEqual(c)
    })

    it('fills the context to its last place and stops there', async () => {
      const small = await load(`${fixturesFolder}goldens/parscale-p2-ctx28`)
      let count = 0
      const { finishReason } = await new Scheduler(small).submit({
        promptIds: Array(12).fill(3),
        maxTokens: 100,
        sampling: { temperature: 0 },
        onToken: () => void count++,
      })
      expect([finishReason, count]).toEqual(['length', 17])
      await expect(
        new Scheduler(small).submit({ promptIds: Array(29).fill(3), maxTokens: 1, sampling: { temperature: 0 } }),
      ).rejects.toThrow("the prompt has 29 tokens, the model's context is 28")
      await small.model.dispose()
    })
  })

  describe('beam search', () => {
    /** log p(ids | prompt) by scoring the whole text at once. */
    const scoreOf = async (prompt: readonly number[], ids: readonly number[], p: number) => {
      const logits = await alone([...prompt, ...ids], p)
      return ids.reduce(
        (sum, id, i) => sum + logSoftmax(logits.slice((prompt.length - 1 + i) * 259, (prompt.length + i) * 259))[id]!,
        0,
      )
    }

    it('finds the best of all two-token continuations when no beam is cut', async () => {
      const prompt = [3, 1, 4]
      const [best] = await beamSearch(engine, { promptIds: prompt, beams: 259, maxTokens: 2, p: 1 })
      const first = logSoftmax((await alone(prompt, 1)).slice(-259))
      let expected = { ids: [] as number[], logProbability: -Infinity }
      for (let a = 0; a < 259; a++) {
        const second = logSoftmax((await alone([...prompt, a], 1)).slice(-259))
        const b = second.indexOf(Math.max(...second))
        if (first[a]! + second[b]! > expected.logProbability) expected = { ids: [a, b], logProbability: first[a]! + second[b]! }
      }
      expect(best!.ids).toEqual(expected.ids)
      expect(best!.logProbability).toBeCloseTo(expected.logProbability, 4)
    })

    it('reports the log-probability that scoring gives, also for streams and stop tokens', async () => {
      const prompt = [10, 20, 30]
      const greedy = await beamSearch(engine, { promptIds: prompt, beams: 1, maxTokens: 6 })
      const results = await beamSearch(engine, { promptIds: prompt, beams: 4, maxTokens: 6, stopTokenIds: [greedy[0]!.ids[2]!] })
      expect(results.map((r) => r.score)).toEqual([...results.map((r) => r.score)].sort((a, b) => b - a))
      for (const { ids, logProbability, finishReason } of results) {
        const whole = finishReason === 'stop' ? [...ids, greedy[0]!.ids[2]!] : ids
        expect(logProbability).toBeCloseTo(await scoreOf(prompt, whole, 4), 3)
      }
    })
  })
}
