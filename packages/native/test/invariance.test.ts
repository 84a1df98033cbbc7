/** A row's numbers are the same bits whoever shares its step, in whatever chunks it came, on any threads and any kernels. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quantiseModel } from '@parscale/core/internal/node'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { cacheTypes, instructionSets, type NativeModelOptions } from '../src/index.ts'
import { type PackedFolder, packFolder, type Sequence, Streams } from './support/streams.ts'

const temporary = mkdtempSync(join(tmpdir(), 'parscale-native-'))
afterAll(() => rmSync(temporary, { recursive: true }))

// Hidden size 64 and 96 or 176 in the MLP: blocks of several sizes in one model. Windows and q/k norms are in it.
const sources = {
  'prefixes, P = 4': 'goldens/parscale-p4',
  'a sliding window, P = 2': 'transformers/mistral-window-streams-p2',
  'q/k norms, P = 2': 'transformers/qwen3-streams-p2',
}

async function quantised(folder: string, bits: 8 | 4): Promise<string> {
  const into = join(temporary, `${folder.replace('/', '-')}-${bits}`)
  await quantiseModel(`${fixturesFolder}${folder}`, into, { bits, blockSize: 64 })
  return into
}

const cases = Object.entries(sources).flatMap(([what, folder]) =>
  (['float32', 'int8', 'int4'] as const).map((weights) => ({ what, folder, weights })),
)

const text = (seed: number, length: number): number[] => Array.from({ length }, (_, i) => (seed * 31 + i * 7 + i * i * 3) % 256)

describe.each(cases)('$what, $weights', ({ folder, weights }) => {
  let packed: PackedFolder
  beforeAll(async () => {
    const path = weights === 'float32' ? `${fixturesFolder}${folder}` : await quantised(folder, weights === 'int8' ? 8 : 4)
    packed = await packFolder(path)
  })
  afterAll(() => packed.remove())

  /** Logits of every token of a text alone: all in one step, one thread. */
  async function alone(ids: readonly number[], p: number, options: NativeModelOptions): Promise<Float32Array> {
    const engine = new Streams(packed, { threads: 1, ...options })
    const [out] = await engine.step([{ sequence: engine.open(p), ids }])
    await engine.model.dispose()
    return out!.logits
  }

  it.each(cacheTypes)('random mixtures of rows, chunks and threads, cache %s', async (cacheType) => {
    const oneText = fc.record({
      seed: fc.nat(100),
      length: fc.integer({ min: 1, max: 90 }),
      plain: fc.boolean(),
      chunk: fc.integer({ min: 1, max: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(oneText, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        async (texts, threads) => {
          const engine = new Streams(packed, { threads, cacheType })
          const all = texts.map(({ seed, length, plain, chunk }) => {
            const p = plain ? 1 : engine.config.parscale.n
            return { ids: text(seed, length), p, chunk, sequence: engine.open(p), logits: [] as Float32Array[], done: 0 }
          })
          for (;;) {
            const going = all.filter(({ done, ids }) => done < ids.length)
            if (going.length === 0) break
            const work = going.map(({ sequence, ids, done, chunk }) => ({ sequence, ids: ids.slice(done, done + chunk) }))
            for (const [i, { logits }] of (await engine.step(work)).entries()) {
              going[i]!.logits.push(logits)
              going[i]!.done += work[i]!.ids.length
            }
          }
          await engine.model.dispose()
          for (const { ids, p, logits } of all) {
            const joined = Float32Array.from(logits.flatMap((part) => [...part]))
            expect(sameBits(joined, await alone(ids, p, { cacheType }))).toBe(true)
          }
        },
      ),
      { numRuns: 5 },
    )
  })

  it('a hidden state does not depend on which others are wanted, and neither do keys and values', async () => {
    const H = packed.files.config.hiddenSize
    const engines = [new Streams(packed, { cacheType: 'int8' }), new Streams(packed, { cacheType: 'int8' })] as const
    const [all, some] = engines.map((engine) => ({ engine, sequences: [engine.open(), engine.open(1)] }))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 40 }), fc.nat(9), async (marks, shorter) => {
        const lengths = [marks.length, Math.max(1, marks.length - shorter)]
        const batchOf = ({ engine, sequences }: NonNullable<typeof all>) =>
          engine.batch(sequences.map((sequence, i) => ({ sequence, ids: text(marks.length + i, lengths[i]!) })))
        const batch = batchOf(some!)
        const wanted = batch.wanted.map((_, token) => marks[token % marks.length]!)
        const { hidden } = await some!.engine.model.run({ ...batch, wanted })
        const every = (await all!.engine.model.run(batchOf(all!))).hidden
        const expected = [...wanted.keys()]
          .filter((token) => wanted[token])
          .flatMap((token) => [...every.subarray(token * H, (token + 1) * H)])
        expect(sameBits(hidden, Float32Array.from(expected))).toBe(true)
        for (const { sequences } of [all!, some!]) for (const [i, sequence] of sequences.entries()) sequence.length += lengths[i]!
      }),
      { numRuns: 12 },
    )
    for (const { model } of engines) await model.dispose()
  })

  it('every instruction set of this CPU', async () => {
    const ids = text(5, 80)
    const [first, ...others] = await Promise.all(
      instructionSets().map((instructionSet) =>
        alone(ids, packed.files.config.parscale.n, { instructionSet, cacheType: 'int8' }),
      ),
    )
    expect(first!.every(Number.isFinite)).toBe(true)
    for (const other of others) expect(sameBits(other, first!)).toBe(true)
  })

  it('copies go their own way, and a row that was cut short goes on as if nothing had been behind', async () => {
    const engine = new Streams(packed)
    const ids = text(9, 70)
    const sequence = engine.open()
    await engine.step([{ sequence, ids: ids.slice(0, 66) }])
    const copy: Sequence = { ...sequence, rows: engine.model.openRows(sequence.rows.length) }
    engine.model.copyRows(copy.rows, sequence.rows)
    const [other] = await engine.step([{ sequence: copy, ids: text(10, 9) }])
    expect(other!.logits.every(Number.isFinite)).toBe(true)
    const [went] = await engine.step([{ sequence, ids: ids.slice(66) }])
    copy.length = 60
    const [again] = await engine.step([{ sequence: copy, ids: ids.slice(60) }])
    const whole = await alone(ids, sequence.p, {})
    expect(sameBits(went!.logits, whole.slice(-went!.logits.length))).toBe(true)
    expect(sameBits(again!.logits, whole.slice(-again!.logits.length))).toBe(true)
    await engine.model.dispose()
  })
})

/** 0 and -0 differ, and NaN is itself. */
const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
