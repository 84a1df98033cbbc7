/** Many texts read together give what each gives alone: scores, comparisons, diagnoses; through windows where they are long. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { collectComparison, compareIds, measureStreams, scoreIds, scorePositions, scoreTexts } from '../../evaluation/index.ts'
import { createRandom } from '../../random.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import type { Engine } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

const vocabSize = 37
const config = {
  ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: vocabSize, hidden_size: 16, intermediate_size: 24 },
  ...{ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 40 },
  ...{ rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: false },
  ...{ parscale_n: 3, parscale_n_tokens: 4, parscale_attn_smooth: 0.1 },
}
const random = createRandom(9)
const draw = (n: number) => Math.floor(random.uniform() * n)
/** Up to two and a half contexts, mostly short. */
const many = Array.from({ length: 300 }, (_, i) => Array.from({ length: 1 + draw(i % 7 ? 20 : 100) }, () => draw(vocabSize)))

const texts = many.slice(0, 60)

export function textsContract({ load, tolerance }: EngineKind): void {
  let folder: string
  let engine: Engine
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'parscale-texts-'))
    await writeRandomModel(join(folder, 'model'), config)
    engine = await load(join(folder, 'model'), { threads: 1 })
  })
  afterAll(async () => {
    await engine.dispose()
    rmSync(folder, { recursive: true })
  })
  /** A log-probability is a difference of two figures made of logits. */
  const near = (found: ArrayLike<number>, expected: ArrayLike<number>) =>
    expect(maxDifference(found, expected)).toBeLessThanOrEqual(2 * tolerance)

  it.each([1, 3])('scores them in their order, in a cache of a few texts, at P = %i', async (p) => {
    let most = 0
    let at = 0
    for await (const score of scoreTexts(engine, many, { p })) {
      most = Math.max(most, engine.cacheMemoryBytes)
      const alone = await scoreIds(engine, many[at++]!, { p })
      near(score.logProbabilities.slice(1) as number[], alone.logProbabilities.slice(1) as number[])
      near(score.streamWeights.flat(), alone.streamWeights.flat())
    }
    expect(at).toBe(many.length)
    expect(engine.cacheMemoryBytes).toBe(0)
    const whole = engine.open({ p, room: 40 })
    await engine.step([{ sequence: whole, ids: texts[0]!.slice(0, 1), want: 'none' }])
    const ofOne = engine.cacheMemoryBytes
    engine.close(whole)
    // All together would take 300 times as much.
    expect(most).toBeLessThan(100 * ofOne)
  })

  it('gives the positions of a text to a reader who takes his time, while others are read', async () => {
    const ids = texts.find(({ length }) => length > 80)!
    const [alone, logits] = [await scoreIds(engine, ids), [] as number[]]
    for await (const { position, logits: row } of scorePositions(engine, ids)) {
      expect(position).toBe(logits.length)
      if (position % 16 === 0) await scoreIds(engine, [1, 2, 3])
      const top = Math.max(...row)
      logits.push(row[ids[position + 1] ?? 0]! - top - Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0)))
    }
    expect(maxDifference(logits.slice(0, -1), alone.logProbabilities.slice(1) as number[])).toBeLessThanOrEqual(
      1e-5 + 2 * tolerance,
    )
  })

  it('frees the cache when the reader leaves, and when one text is bad', async () => {
    for await (const _ of scoreTexts(engine, texts)) break
    expect(engine.cacheMemoryBytes).toBe(0)
    for await (const _ of scorePositions(engine, texts.find(({ length }) => length > 80)!)) break
    expect(engine.cacheMemoryBytes).toBe(0)
    const bad = scoreTexts(engine, [...texts.slice(0, 9), [1, vocabSize], ...texts.slice(10)])
    let good = 0
    await expect(async () => {
      for await (const _ of bad) good++
    }).rejects.toThrow('token id 37')
    expect([good, engine.cacheMemoryBytes]).toEqual([9, 0])
    const abort = new AbortController()
    await expect(async () => {
      for await (const _ of scoreTexts(engine, texts, { signal: abort.signal })) abort.abort(new Error('enough'))
    }).rejects.toThrow('enough')
    expect(engine.cacheMemoryBytes).toBe(0)
  })

  it('measures streams over all texts as text after text', async () => {
    const long = texts.filter(({ length }) => length > 2)
    const [together, ...apart] = [
      await measureStreams(engine, long),
      ...(await Promise.all(long.map((ids) => measureStreams(engine, ids)))),
    ]
    const joined = (of: 'aggregate' | 'average' | 'ensemble' | 'weights') => apart.flatMap((one) => [...one[of]])
    for (const of of ['aggregate', 'average', 'ensemble', 'weights'] as const) near(together[of], joined(of))
    for (let i = 0; i < 3; i++) {
      near(
        together.streams[i]!,
        apart.flatMap((one) => [...one.streams[i]!]),
      )
      near(
        together.withoutStream[i]!,
        apart.flatMap((one) => [...one.withoutStream[i]!]),
      )
      const tokens = together.aggregate.length
      for (let j = 0; j < 3; j++) {
        const mean = apart.reduce((sum, one) => sum + one.distances[i]![j]! * one.aggregate.length, 0) / tokens
        expect(together.distances[i]![j]).toBeCloseTo(mean, 4)
      }
    }
  })

  it('compares over all texts, whichever is read first', async () => {
    const seen: number[] = []
    const onProgress = (done: number, total: number) => void seen.push(done / total)
    const found = await compareIds(engine, engine, texts, { p: 1, otherP: 3, onProgress })
    const expected = collectComparison(texts)
    for (const [text, ids] of texts.entries()) {
      const others = scorePositions(engine, ids, { p: 3 })
      for await (const position of scorePositions(engine, ids, { p: 1 }))
        expected.add(position, (await others.next()).value!, text)
    }
    const { kl, perplexity, ...rest } = expected.result()
    expect(found.tokens).toBe(texts.flat().length)
    near([found.kl.mean, found.kl.max, found.rmsDeltaP!], [kl.mean, kl.max, rest.rmsDeltaP!])
    expect(found.perplexity!.ratio).toBeCloseTo(perplexity!.ratio, 4)
    if (tolerance === 0) expect(found).toEqual({ kl, perplexity, ...rest })
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(seen.at(-1)).toBe(1)
  })
}
