/** Caches in narrower types: what they cost in accuracy, that rows are kept through growth, forks and moves, and that text is the same in any chunks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KvType, kvTypes } from '../../model/index.ts'
import { argmax, fixturesFolder } from '../../testing/fixtures.ts'
import type { Engine } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

const ids = Array.from({ length: 150 }, (_, i) => (i * 31 + (i >> 3)) % 259)

export function kvTypesContract({ load }: EngineKind): void {
  describe.each(kvTypes)('keys and values in %s', (kv) => kvTypeContract(load, kv))
}

function kvTypeContract(load: EngineKind['load'], kv: KvType): void {
  let engine: Engine
  let reference: Engine
  beforeAll(async () => {
    const folder = `${fixturesFolder}goldens/parscale-p4`
    engine = await load(folder, { threads: 2, kv })
    reference = await load(folder, { threads: 2 })
  })
  afterAll(() => Promise.all([engine.dispose(), reference.dispose()]))

  /** Logits of the last 20 tokens, with the others in the cache. */
  async function behindCache(on: Engine, p: number): Promise<Float32Array> {
    const sequence = on.open({ p })
    for (let at = 0; at < 130; at += 26) await on.step([{ sequence, ids: ids.slice(at, at + 26), want: 'none' }])
    const [out] = await on.step([{ sequence, ids: ids.slice(130), want: 'all' }])
    on.close(sequence)
    return out!.logits.slice()
  }

  it.each([1, 4])('gives nearly the same logits at P = %i', async (p) => {
    const [expected, found] = [await behindCache(reference, p), await behindCache(engine, p)]
    const rms = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length)
    const error = rms(found.map((x, i) => x - expected[i]!)) / rms(expected)
    // Rounding: none; 2^-12 of each number; 1 / 254 of the largest of a key or value, with a deviation of half that.
    expect(error).toBeLessThan({ f32: 1e-6, f16: 1e-3, int8: 1e-2 }[kv])
    if (kv !== 'f32') expect(error).toBeGreaterThan(0)
  })

  it('takes the memory that it should', () => {
    const sequences = [engine, reference].map((on) => ({ on, sequence: on.open({ p: 4 }) }))
    const D = engine.model.config.headDim
    const bytesPerNumber = { f32: 4, f16: 2, int8: (D + 4) / D }[kv]
    expect(engine.cacheMemoryBytes / reference.cacheMemoryBytes).toBe(bytesPerNumber / 4)
    for (const { on, sequence } of sequences) on.close(sequence)
  })

  it('generates the same text in any chunks, alone or beside others, and from a fork', async () => {
    const greedy = async (chunk: number, beside: boolean) => {
      const sequence = engine.open({ p: 4 })
      const other = beside ? engine.open({ p: 1 }) : undefined
      let logits = new Float32Array()
      for (let at = 0; at < 100; at += chunk) {
        const work = [{ sequence, ids: ids.slice(at, Math.min(100, at + chunk)), want: 'last' as const }]
        logits = (await engine.step(other ? [...work, { sequence: other, ids: [7, 8], want: 'none' }] : work))[0]!.logits.slice()
      }
      const [fork] = engine.fork(sequence, 1)
      engine.close(sequence)
      const text: number[] = []
      while (text.push(argmax(logits)) < 12)
        logits = (await engine.step([{ sequence: fork!, ids: [text.at(-1)!], want: 'last' }]))[0]!.logits.slice()
      engine.close(fork!)
      if (other) engine.close(other)
      return text
    }
    const once = await greedy(100, false)
    expect(await greedy(9, false)).toEqual(once)
    expect(await greedy(25, true)).toEqual(once)
  })
}
