/**
 * Whatever requests run together (generate, score, hidden states, constraints, some aborted), whenever they come and however few
 * are let in at a time, each gives what it gives alone, and its numbers are those of one step over the whole text.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeRandomModel } from '../../testing/random-model.ts'
import {
  type Constraint,
  type Engine,
  type Finished,
  logSoftmax,
  Scheduler,
  type StepResult,
  type TokenLogprob,
} from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

const vocabSize = 37
const config = {
  ...{ model_type: 'qwen3', hidden_act: 'silu', vocab_size: vocabSize, hidden_size: 16, intermediate_size: 24, head_dim: 6 },
  ...{ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 512 },
  ...{ rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: false },
  ...{ parscale_n: 3, parscale_n_tokens: 4, parscale_attn_smooth: 0.1 },
}

const mixture = fc.record({
  maxRows: fc.constantFrom(1, 4, Infinity),
  requests: fc.array(
    fc.record({
      ids: fc.oneof(
        { weight: 4, arbitrary: fc.array(fc.nat(vocabSize - 1), { minLength: 1, maxLength: 12 }) },
        { weight: 1, arbitrary: fc.array(fc.nat(vocabSize - 1), { minLength: 90, maxLength: 300 }) },
      ),
      p: fc.constantFrom(1, 3),
      maxTokens: fc.nat(8),
      temperature: fc.constantFrom(0, 1.3),
      seed: fc.nat(1000),
      top: fc.nat(3),
      promptTop: fc.option(fc.nat(2), { nil: undefined }),
      hidden: fc.constantFrom(undefined, 'last' as const, 'mean' as const, 'all' as const),
      evenOnly: fc.boolean(),
      abortAfter: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined, freq: 3 }),
      /** Turns of the engine before it is submitted. */
      after: fc.nat(6),
    }),
    { minLength: 1, maxLength: 6 },
  ),
})
type Wanted = Parameters<Parameters<typeof mixture.map>[0]>[0]['requests'][number]

/** Bans odd ids, and checks that it is told what was generated. */
const evenOnly = (told: number[][]): Constraint => ({
  mask(scores, generated) {
    told.push([...generated])
    for (let id = 1; id < scores.length; id += 2) scores[id] = -Infinity
  },
})

interface Outcome {
  readonly tokens: { id: number; logProbability: number; topLogprobs: readonly TokenLogprob[]; streamWeights: Float32Array }[]
  readonly finished: Finished | undefined
}

async function run(scheduler: Scheduler, wanted: Wanted): Promise<Outcome> {
  const { ids, p, maxTokens, temperature, seed, top, promptTop, hidden, abortAfter } = wanted
  for (let i = 0; i < wanted.after; i++) await scheduler.engine.turn(() => {})
  const abort = new AbortController()
  const tokens: Outcome['tokens'] = []
  const told: number[][] = []
  const nothing = maxTokens === 0 && hidden === undefined && promptTop === undefined
  const finished = await scheduler
    .submit({
      promptIds: ids,
      p,
      maxTokens: nothing ? 1 : maxTokens,
      sampling: { temperature, seed, ...(wanted.evenOnly && { constraint: evenOnly(told) }) },
      topLogprobs: top,
      ...(promptTop !== undefined && { promptLogprobs: promptTop }),
      ...(hidden && { hidden }),
      signal: abort.signal,
      onToken: ({ id, logProbability, topLogprobs, streamWeights }) => {
        tokens.push({ id, logProbability, topLogprobs, streamWeights })
        if (tokens.length === abortAfter) abort.abort(new Error('enough'))
      },
    })
    .catch((error: Error) => {
      if (error.message !== 'enough') throw error
      return undefined
    })
  if (wanted.evenOnly) expect(told).toEqual(told.map((_, i) => tokens.slice(0, i).map(({ id }) => id)))
  return { tokens, finished }
}

export function mixturesContract({ load, tolerance }: EngineKind): void {
  let folder: string
  let engine: Engine
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'parscale-mixtures-'))
    await writeRandomModel(join(folder, 'model'), config)
    engine = await load(join(folder, 'model'), { threads: 1 })
  })
  afterAll(async () => {
    await engine.dispose()
    rmSync(folder, { recursive: true })
  })

  const near = (found: number, expected: number) => expect(Math.abs(found - expected)).toBeLessThanOrEqual(2 * tolerance)

  /** All numbers of an outcome against one step over the whole text. */
  async function check({ ids, p, top, promptTop, hidden, evenOnly, temperature }: Wanted, { tokens, finished }: Outcome) {
    const text = [...ids, ...tokens.map(({ id }) => id)]
    const sequence = engine.open({ p })
    const [out] = (await engine.step([{ sequence, ids: text, want: 'all' }])) as [StepResult]
    engine.close(sequence)
    const row = (t: number) => logSoftmax(out.logits.subarray(t * vocabSize, (t + 1) * vocabSize))
    const checkTop = (list: readonly TokenLogprob[], count: number, t: number) => {
      expect(list).toHaveLength(count)
      const sorted = [...row(t)].sort((a, b) => b - a)
      for (const [i, { id, logProbability }] of list.entries()) {
        near(logProbability, sorted[i]!)
        near(logProbability, row(t)[id]!)
      }
    }
    for (const [i, { id, logProbability, topLogprobs, streamWeights }] of tokens.entries()) {
      const t = ids.length - 1 + i
      near(logProbability, row(t)[id]!)
      checkTop(topLogprobs, top, t)
      // The very same number, on any engine.
      for (const one of topLogprobs) if (one.id === id) expect(one.logProbability).toBe(logProbability)
      for (const [stream, weight] of streamWeights.entries()) near(weight, out.streamWeights[t * p + stream]!)
      if (evenOnly) expect(id % 2).toBe(0)
      else if (temperature === 0 && top > 0) expect(topLogprobs[0]!.id).toBe(id)
    }
    if (!finished) return
    expect(finished.prompt?.map(({ id }) => id)).toEqual(promptTop === undefined ? undefined : ids)
    for (const [t, { id, logProbability, topLogprobs }] of (finished.prompt ?? []).entries()) {
      if (t === 0) expect([logProbability, topLogprobs]).toEqual([null, []])
      else {
        near(logProbability!, row(t - 1)[id]!)
        checkTop(topLogprobs, promptTop!, t - 1)
      }
    }
    const H = config.hidden_size
    const first = hidden === 'all' ? 0 : ids.length - 1
    expect(finished.hidden?.length).toBe(hidden && (ids.length - first) * H)
    const mean = (i: number) => Math.fround(ids.reduce((sum, _, t) => sum + out.hidden[t * H + i]!, 0) / ids.length)
    for (const [i, x] of (finished.hidden ?? []).entries()) near(x, hidden === 'mean' ? mean(i) : out.hidden[first * H + i]!)
  }

  it('gives each what it gives alone', async () => {
    await fc.assert(
      fc.asyncProperty(mixture, async ({ maxRows, requests }) => {
        const scheduler = new Scheduler(engine, { maxRows })
        const together = await Promise.all(requests.map((wanted) => run(scheduler, wanted)))
        expect(scheduler.counters).toMatchObject({ running: 0, waiting: 0, cacheBytes: 0 })
        for (const [i, wanted] of requests.entries()) {
          const alone = await run(new Scheduler(engine), wanted)
          expect(together[i]!.tokens.map(({ id }) => id)).toEqual(alone.tokens.map(({ id }) => id))
          expect(together[i]!.finished?.finishReason).toBe(alone.finished?.finishReason)
          if (tolerance === 0) expect(together[i]).toEqual(alone)
          await check(wanted, together[i]!)
        }
      }),
      { numRuns: 50, seed: 3, endOnFailure: true },
    )
  })
}
