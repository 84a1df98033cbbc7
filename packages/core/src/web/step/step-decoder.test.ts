/** The step in WebAssembly keeps what every engine keeps, and gives other implementations' numbers. Threads are in test/web.test.ts. */
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../checkpoint/index.ts'
import { type Engine, Model } from '../../generation/index.ts'
import { engineContract } from '../../generation/testing/engine-contract.ts'
import { referenceContract, referenceFixtures } from '../../generation/testing/reference-contract.ts'
import type { KvType } from '../../model/index.ts'
import { type ReadStored, stepRefusal } from '../../packed/index.ts'
import { byteModel, engineLoader, fixturesFolder } from '../../testing/fixtures.ts'
import { stepDecoder } from './step-decoder.ts'
import { instanceOf } from './step-threads.ts'

const module = new WebAssembly.Module(readFileSync(new URL('../../../wasm/step.wasm', import.meta.url)))

const read: ReadStored = async ({ path, offset, made }, from, length) => {
  if (made) return (await made.read(offset + from, length)).slice().buffer
  const file = await open(path)
  try {
    const bytes = new Uint8Array(length)
    await file.read(bytes, 0, length, offset + from)
    return bytes.buffer
  } finally {
    await file.close()
  }
}

interface Options {
  readonly kv?: KvType
  readonly availableBytes?: number
  /** One: others are workers, of which Node has none. */
  readonly threads?: number
}

const loadEngine = engineLoader<Options>(async (files, { kv = 'f32', availableBytes = 2 ** 32 }) => {
  const refusal = stepRefusal([files.config, ...files.streamSets.map(({ config }) => config)])
  if (refusal !== undefined) throw new Error(refusal)
  return new Model(files, await stepDecoder(files, { module, threads: 1, startThread: undefined, read, kv, availableBytes }))
})

engineContract('the step in WebAssembly', { load: loadEngine, tolerance: 0, refusal: (config) => stepRefusal([config]) })

const refusalOf = (name: string) =>
  stepRefusal([parseModelConfig(JSON.parse(readFileSync(`${fixturesFolder}${name}/config.json`, 'utf8')))])

referenceContract(
  'WebAssembly',
  loadEngine,
  referenceFixtures.filter((name) => !refusalOf(name)),
)

describe('memory of the module', () => {
  it('is given out once, and what was freed can be had again in other sizes', async () => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65_535, shared: true })
    const { allocate, release } = (await instanceOf(module, memory)) as {
      allocate(bytes: number): number
      release(at: number): void
    }
    const live = new Map<number, number>()
    const bytesAt = (at: number, size: number) => new Uint8Array(memory.buffer, at, size)
    const free = (at: number) => {
      const found = bytesAt(at, live.get(at)!)
      expect([found[0], found.at(-1)]).toEqual([at % 251, at % 251])
      release(at)
      live.delete(at)
    }
    const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 300_000 }), fc.nat(3)), { minLength: 100, maxLength: 300 })
    fc.assert(
      fc.property(sizes, (steps) => {
        for (const [size, kept] of steps) {
          const at = allocate(size) >>> 0
          expect(at % 64).toBe(0)
          expect(live.has(at)).toBe(false)
          bytesAt(at, size).fill(at % 251)
          live.set(at, size)
          if (kept < 2) free([...live.keys()][(size * 7) % live.size]!)
        }
        for (const at of [...live.keys()]) free(at)
      }),
      { numRuns: 20 },
    )
    const { byteLength } = memory.buffer
    // All of it is one piece again.
    release(allocate(byteLength - 2 ** 23))
    expect(memory.buffer.byteLength).toBe(byteLength)
    expect(allocate(2 ** 31) >>> 0).toBeGreaterThan(0)
    expect(allocate(2 ** 31) >>> 0).toBe(0)
  })
})

describe('where memory ends', () => {
  it('says so before a step, and goes on with less', async () => {
    const engine = await loadEngine(byteModel, { availableBytes: 30e6 })
    const sequences: ReturnType<Engine['open']>[] = []
    const ids = Array.from({ length: 500 }, (_, i) => i % 250)
    const fill = async () => {
      for (;;) {
        const sequence = engine.open({ p: 8, room: 500 })
        sequences.push(sequence)
        await engine.step([{ sequence, ids, want: 'none' }])
      }
    }
    await expect(fill()).rejects.toThrow(/the page has no \d+ bytes left; take fewer texts at once/)
    for (const sequence of sequences.splice(0)) engine.close(sequence)
    const sequence = engine.open({ p: 8, room: 10 })
    const [result] = await engine.step([{ sequence, ids: ids.slice(0, 10), want: 'last' }])
    expect(result!.logits.every(Number.isFinite)).toBe(true)
    await engine.dispose()
  })
})
