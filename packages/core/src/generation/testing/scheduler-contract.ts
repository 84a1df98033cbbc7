/** Requests that share an engine: whatever goes wrong with one, and whenever it leaves, the others get what they get alone. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { measureStreams, scoreIds } from '../../evaluation/index.ts'
import { writePrefix } from '../../model/index.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import { beamSearch, type Engine, logSumExp, PromptCache, Scheduler, type TokenRequest } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

const hiddenSize = 16
/** Its embedding is NaN, as that of a token that training never met may be. */
const poison = 5

export function schedulerContract({ load, tolerance }: EngineKind): void {
  let folder: string
  let engine: Engine
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'parscale-scheduler-'))
    const config = {
      ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: 37, hidden_size: hiddenSize, intermediate_size: 24 },
      ...{ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 2048 },
      ...{ rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: false },
      ...{ parscale_n: 3, parscale_n_tokens: 4, parscale_attn_smooth: 0.1 },
    }
    await writeRandomModel(join(folder, 'model'), config, (name, values) => {
      if (name === 'model.embed_tokens.weight') values.fill(Number.NaN, poison * hiddenSize, (poison + 1) * hiddenSize)
    })
    engine = await load(join(folder, 'model'), { threads: 1 })
  })
  afterAll(async () => {
    await engine.model.dispose()
    rmSync(folder, { recursive: true })
  })

  const long = Array.from({ length: 700 }, (_, i) => 6 + ((i * 7) % 31))
  const request = (promptIds: readonly number[], more: Partial<TokenRequest> = {}): TokenRequest => ({
    promptIds,
    maxTokens: 10,
    // The broken token is never drawn.
    sampling: { temperature: 1, seed: 3, logitBias: new Map([[poison, -Infinity]]) },
    ...more,
  })

  async function run(scheduler: Scheduler, given: TokenRequest): Promise<number[]> {
    const ids: number[] = []
    await scheduler.submit({
      ...given,
      onToken: (token) => {
        ids.push(token.id)
        return given.onToken?.(token)
      },
    })
    return ids
  }

  it('leaves streams out: their weight is 0, and the losses are those that the diagnosis has without them', async () => {
    const prompt = [1, 2, 3]
    for (const out of [0, 1, 2]) {
      const ids = [...prompt]
      const losses: number[] = []
      await new Scheduler(engine).submit({
        ...request(prompt, { p: 3, maxTokens: 6, withoutStreams: [out] }),
        onToken: ({ id, logProbability, streamWeights }) => {
          ids.push(id)
          losses.push(-logProbability)
          expect(streamWeights[out]).toBe(0)
          expect(streamWeights.reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 6)
        },
      })
      const { withoutStream, aggregate } = await measureStreams(engine, ids, { p: 3 })
      const expected = withoutStream[out]!.subarray(prompt.length - 1)
      for (const [t, loss] of losses.entries()) expect(Math.abs(loss - expected[t]!)).toBeLessThan(1e-3)
      // That the stream's absence is seen at all.
      expect(losses.some((loss, t) => Math.abs(loss - aggregate[prompt.length - 1 + t]!) > 5e-3)).toBe(true)
    }
  })

  it('does not mix up requests that leave different streams out, and hears one that is left alone', async () => {
    const scheduler = new Scheduler(engine)
    const cases = [[], [0], [1, 2], [2]]
    const prompts = cases.map((_, i) => [1 + i, 2, 3])
    const alone: number[][] = []
    for (const [i, withoutStreams] of cases.entries())
      alone.push(await run(scheduler, request(prompts[i]!, { p: 3, withoutStreams })))
    const together = cases.map((withoutStreams, i) => run(scheduler, request(prompts[i]!, { p: 3, withoutStreams })))
    expect(await Promise.all(together)).toEqual(alone)
    await scheduler.submit({
      ...request([4, 2, 3], { p: 3, withoutStreams: [1, 2], streamChoices: true, sampling: { temperature: 0 } }),
      onToken: ({ id, streamChoices }) => expect(streamChoices![0]!.id).toBe(id),
    })
  })

  it('refuses to leave out streams that there are not, or all', async () => {
    const scheduler = new Scheduler(engine)
    const left = (withoutStreams: number[], p = 3) => scheduler.submit(request([1, 2], { p, withoutStreams }))
    await expect(left([3])).rejects.toThrow(/no stream 3; with P = 3 they are 0 to 2/)
    await expect(left([0, 1, 2])).rejects.toThrow(/all 3 streams are left out/)
    await expect(left([0], 1)).rejects.toThrow(/all 1 streams/)
  })

  it('tells what each stream would say alone: one row with its prefix, and no aggregation', async () => {
    const { decoder } = engine.model
    const asked = request([1, 2, 3], { p: 3, maxTokens: 4 })
    const seen: { id: number; choices: readonly { id: number; logProbability: number }[] }[] = []
    await new Scheduler(engine).submit({
      ...asked,
      streamChoices: true,
      onToken: ({ id, streamChoices }) => void seen.push({ id, choices: streamChoices! }),
    })
    const set = engine.model.streamSet(3)!
    for (let stream = 0; stream < 3; stream++) {
      // A cache of its own, which knows of one row and no streams.
      const cache = decoder.openCache()
      const [row] = cache.openRows(1, 20)
      writePrefix(set.prefixes, stream, (layer, key, value) => cache.writePrefix(row!, layer, key, value))
      for (const [t, { choices }] of seen.entries()) {
        const before = t === 0 ? 0 : 2 + t
        const ids = t === 0 ? asked.promptIds : [seen[t - 1]!.id]
        const step = { row: row!, ids, prefix: set.config.parscale.nTokens, length: before, firstPosition: 0 }
        const alone = { sharedRow: row!, ownWindow: null }
        const { hidden } = await cache.step([{ ...step, ...alone, prefixScore: 0, adapter: 0, wanted: 1 }])
        const logits = await decoder.logits(hidden)
        const best = logits.indexOf(Math.max(...logits))
        expect(choices[stream]!.id).toBe(best)
        expect(Math.abs(choices[stream]!.logProbability - (logits[best]! - logSumExp(logits)))).toBeLessThanOrEqual(tolerance)
      }
      cache.closeRows([row!])
    }
    // Else it would not show that streams differ.
    expect(seen.some(({ choices }) => choices.some(({ id }) => id !== choices[0]!.id))).toBe(true)
    expect(await run(new Scheduler(engine), asked)).toEqual(seen.map(({ id }) => id))
  })

  const others: readonly TokenRequest[] = [
    request([1, 2, 3]),
    request([9], { p: 1, maxTokens: 30 }),
    request(long, { p: 1, maxTokens: 4 }),
  ]
  let expected: number[][]
  beforeAll(async () => {
    expected = []
    for (const other of others) expected.push(await run(new Scheduler(engine), other))
  })

  describe('one request fails, the others do not', () => {
    const enough = new Error('enough')
    const fail = () => {
      throw enough
    }
    const failures: [string, () => TokenRequest, string][] = [
      ['a token that the model does not have', () => request([1, 37]), 'token id 37 is not in the vocabulary'],
      ['NaN at the end of the prompt', () => request([1, poison]), 'NaN'],
      ['NaN in the middle of a long prompt', () => request([...long.slice(0, 50), poison, ...long]), 'NaN'],
      ['NaN while decoding', () => request([8], { sampling: { temperature: 0, logitBias: new Map([[poison, 1e9]]) } }), 'NaN'],
      ['onToken throws', () => request([1, 2], { onToken: fail }), 'enough'],
      ['onPrefill throws', () => request([1, 2], { onPrefill: fail }), 'enough'],
      [
        'a bias beyond the vocabulary',
        () => request([1], { sampling: { temperature: 0, logitBias: new Map([[37, 1]]) } }),
        'outside the vocabulary',
      ],
      ['aborted before it starts', () => request([1], { signal: AbortSignal.abort(enough) }), 'enough'],
      ['aborted while it waits', abortedSoon, 'enough'],
      ['aborted in the middle of its prompt', abortedInPrompt, 'enough'],
    ]
    function abortedSoon(): TokenRequest {
      const abort = new AbortController()
      queueMicrotask(() => abort.abort(enough))
      return request(long, { signal: abort.signal })
    }
    function abortedInPrompt(): TokenRequest {
      const abort = new AbortController()
      return request([...long, ...long], { signal: abort.signal, onPrefill: (done) => done < 700 && abort.abort(enough) })
    }

    it.each(failures)('%s', async (_, failing, message) => {
      const scheduler = new Scheduler(engine)
      const failed = expect(scheduler.submit(failing())).rejects.toThrow(message)
      const together = await Promise.all(others.map((other) => run(scheduler, other)))
      await failed
      expect(together).toEqual(expected)
      // Nothing of it stays in rows that others get next.
      expect(await Promise.all(others.map((other) => run(scheduler, other)))).toEqual(expected)
      expect(engine.cacheMemoryBytes).toBe(0)
    })
  })

  describe('prompt cache', () => {
    it('goes on after a request that failed on it', async () => {
      const scheduler = new Scheduler(engine)
      const cache = new PromptCache()
      await expect(run(scheduler, request([1, 2, poison], { cache }))).rejects.toThrow('NaN')
      expect(await run(scheduler, request([1, 2, 3], { cache }))).toEqual(expected[0])
      await scheduler.release(cache)
    })

    it('can be used again at once by who has just aborted', async () => {
      const scheduler = new Scheduler(engine)
      const cache = new PromptCache()
      const abort = new AbortController()
      const first = run(scheduler, request(long, { cache, maxTokens: 1000, signal: abort.signal, onToken: () => abort.abort() }))
      await expect(first).rejects.toThrow(/abort/)
      const again = new AbortController()
      const second = run(scheduler, request(long, { cache, maxTokens: 1000, signal: again.signal }))
      await Promise.resolve()
      again.abort()
      const third = run(scheduler, request([1, 2, 3], { cache }))
      await expect(second).rejects.toThrow(/abort/)
      expect(await third).toEqual(expected[0])
      await scheduler.release(cache)
    })

    it('refuses two requests at a time, and fails the one that it is released under', async () => {
      const scheduler = new Scheduler(engine)
      const cache = new PromptCache()
      const first = expect(run(scheduler, request([4], { cache, maxTokens: 1000 }))).rejects.toThrow('was released')
      await expect(run(scheduler, request([4], { cache }))).rejects.toThrow('in use by another request')
      const other = run(scheduler, others[0]!)
      await scheduler.release(cache)
      await first
      expect(await other).toEqual(expected[0])
      expect(engine.cacheMemoryBytes).toBe(0)
    })
  })

  describe('kept prompts', () => {
    const texts = [long, long.slice(0, 40), [...long.slice(0, 300), 9, 9, 9, 7], [...long.slice(0, 40), 8]]
    const more = (p: number) => texts.map((ids) => request(ids, { p, maxTokens: 6 }))

    it.each([1, 3])('give what is given without them, at P = %i', async (p) => {
      const alone = []
      for (const one of more(p)) alone.push(await run(new Scheduler(engine), one))
      const keeping = new Scheduler(engine, { keptBytes: 1e9, promptTokensBeside: 16 })
      for (const [i, one] of more(p).entries()) expect(await run(keeping, one)).toEqual(alone[i])
      expect(keeping.counters.cachedTokens).toBeGreaterThan(300)
      // Of what is there already, by several at once.
      const again = await Promise.all([...more(p), ...more(p)].map((one) => run(keeping, one)))
      expect(again).toEqual([...alone, ...alone])
      await keeping.releaseKept()
      expect(engine.cacheMemoryBytes).toBe(0)
    })

    it('never take more memory than they may', async () => {
      const keptBytes = 200 * engine.positionBytes
      const keeping = new Scheduler(engine, { keptBytes })
      for (const one of [...more(1), ...more(3)]) {
        await run(keeping, one)
        expect(engine.cacheMemoryBytes).toBeLessThanOrEqual(keptBytes)
      }
      await keeping.releaseKept()
    })
  })

  it('gives the same numbers alone and among fifty others', async () => {
    const scheduler = new Scheduler(engine, { promptTokensBeside: 32 })
    const numbers = async (scheduler: Scheduler) => {
      const seen: number[] = []
      await scheduler.submit({
        ...request([3, 1, 2], { maxTokens: 12, topLogprobs: 4 }),
        onToken: ({ id, logProbability, topLogprobs }) =>
          void seen.push(id, logProbability, ...topLogprobs.map((one) => one.logProbability)),
      })
      return seen
    }
    const alone = await numbers(new Scheduler(engine))
    const crowd = Array.from({ length: 50 }, (_, i) =>
      run(scheduler, request(long.slice(i, i + 1 + ((i * 13) % 60)), { p: i % 2 ? 1 : 3 })),
    )
    const among = await numbers(scheduler)
    await Promise.all(crowd)
    if (tolerance === 0) expect(among).toEqual(alone)
    else for (const [i, number] of among.entries()) expect(Math.abs(number - alone[i]!)).toBeLessThan(tolerance)
  })

  describe('taking turns', () => {
    it('lets beam searches and scorings run beside generations', async () => {
      const beams = () => beamSearch(engine, { promptIds: [7, 8], beams: 3, maxTokens: 8, stopTokenIds: [11] })
      const alone = { beams: await beams(), score: await scoreIds(engine, long) }
      const scheduler = new Scheduler(engine)
      const [found, score, ...texts] = await Promise.all([
        beams(),
        scoreIds(engine, long),
        ...others.map((other) => run(scheduler, other)),
      ])
      expect(texts).toEqual(expected)
      expect(found!.map(({ ids }) => ids)).toEqual(alone.beams.map(({ ids }) => ids))
      expect(score!.loss).toBeCloseTo(alone.score.loss!, 5)
      expect(engine.cacheMemoryBytes).toBe(0)
    })

    it('waits for the step under way before native memory is freed', async () => {
      const other = await load(join(folder, 'model'), { threads: 1 })
      const going = expect(run(new Scheduler(other), request(long, { maxTokens: 1000 }))).rejects.toThrow('disposed')
      await other.dispose()
      await going
    })
  })
}
