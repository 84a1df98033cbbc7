/** What a bench says that it will write, beside what it writes. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { qwenShape } from '@parscale/core/internal/cost'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { byteModel, fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { freeBytes } from '../hub/disk-space.ts'
import { keptBytes } from '../load/decode-engine.ts'
import { shippedModel } from '../load/find-model.ts'
import { engines } from '../testing/engines.ts'
import { type PlannedModel, planModel, planShape, requireDisk } from './bench-model.ts'
import { crossCases, jobOf } from './cases.ts'
import { resolveShape } from './model-shape.ts'
import { prepareTurn } from './run-turn.ts'
import type { WeightBits } from './synthetic-model.ts'
import { openWorkplace, type Workplace } from './workplace.ts'

let workplace: Workplace
beforeEach(async () => {
  workplace = await openWorkplace(await mkdtemp(join(tmpdir(), 'parscale-bench-disk-')))
})
afterEach(() => rm(workplace.cache, { recursive: true }))

const shape = { ...qwenShape(128, 1024), vocabSize: 4000, numHiddenLayers: 2, numAttentionHeads: 4, headDim: 32, prefixTokens: 6 }
const env = () => ({ PARSCALE_CACHE: workplace.cache })
const planned = (model: string, bits?: WeightBits, streams?: readonly number[]) =>
  planModel({ model, bits, streams, workplace, env: env() })

async function estimateOf({ diskBytes, plan }: PlannedModel): Promise<number> {
  const kept = await Promise.all(engines.map((engine) => keptBytes(engine, plan, { cacheDirectory: workplace.cache })))
  return kept.reduce((sum, bytes) => sum + bytes, diskBytes)
}

/** Makes a model and prepares all its cases. @returns bytes of files that are new in the cache */
async function write(plan: PlannedModel, p: readonly number[]): Promise<number> {
  const before = await bytesIn(workplace.cache)
  const { signal } = new AbortController()
  const model = await plan.make({ signal, onProgress() {} })
  const lists = { engine: engines, threads: [1], kv: ['f32'], batch: [1], context: [8], prompt: undefined, steps: 1 } as const
  for (const one of crossCases({ models: [model], p, ...lists })) await prepareTurn(jobOf(one, workplace.cache), { signal })
  return (await bytesIn(workplace.cache)) - before
}

async function bytesIn(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}

/** Weights, and no more than the small files beside them: configs, a tokenizer, headers, records. */
const smallFiles = 600_000
function expectEstimate(estimate: number, written: number): void {
  expect(written).toBeGreaterThanOrEqual(estimate)
  expect(written - estimate).toBeLessThan(smallFiles)
}

describe('is what it writes', () => {
  it.each([32, 8, 4] as const)('of a shape in %i bits, in one copy', async (bits) => {
    const p = [1, 2, 4]
    const plan = await planShape('x', shape, bits, p, { workplace, keep: true })
    const estimate = await estimateOf(plan)
    expect(estimate).toBeGreaterThan(smallFiles)
    expectEstimate(estimate, await write(plan, p))
    expect(await estimateOf(await planShape('x', shape, bits, p, { workplace, keep: true }))).toBe(0)
  })

  it.each([
    ['a folder as it is stored', byteModel, undefined, undefined],
    ['with P that it lacks', byteModel, undefined, [1, 3]],
    ['in fewer bits', shippedModel, 8, [1, 2]],
    ['in fewer bits, with P that it lacks', shippedModel, 4, [1, 3]],
    ['as floats', shippedModel, 32, [1]],
    ['a GGUF file as it is stored', `${fixturesFolder}gguf/qwen2-p1.gguf`, undefined, [1]],
    ['a GGUF file in fewer bits', `${fixturesFolder}gguf/qwen2-p1.gguf`, 8, [1, 2]],
  ] as const)('of a model: %s', async (_, model, bits, streams) => {
    const plan = await planned(model, bits, streams)
    const estimate = await estimateOf(plan)
    expectEstimate(estimate, await write(plan, plan.streams))
    const made = await planned(model, bits, streams)
    const own = plan.streams.includes(3) ? plan.model.streamBytes(3) : 0
    // What was written less than two seconds ago is not believed to be what it was.
    if (model === shippedModel) expect(await estimateOf(made)).toBe(own)
  })
})

it.runIf(engines.includes('native'))('counts a second copy only of what is kept packed', async () => {
  const sizes: number[] = []
  for (const bits of [8, 32] as const) {
    const plan = await planShape('4.4B', (await resolveShape('4.4B', {}, env())).shape, bits, [1], { workplace, keep: false })
    sizes.push((await estimateOf(plan)) / plan.diskBytes)
  }
  // Rounded biases apart, packed weights are as large as stored ones.
  expect(sizes.map((size) => size.toFixed(1))).toEqual(['2.0', '2.0'])
  const smaller = await planShape('1.6B', (await resolveShape('1.6B', {}, env())).shape, 8, [1], { workplace, keep: false })
  expect(await estimateOf(smaller)).toBe(smaller.diskBytes)
})

it('refuses models that do not fit, and goes on without packed weights that do not', async () => {
  const { shape: large } = await resolveShape('4.4B', {}, env())
  const plan = await planShape('4.4B', large, 32, [1], { workplace, keep: false })
  const free = await freeBytes(workplace.folder)
  const require = (diskBytes: number) => requireDisk([{ ...plan, diskBytes }], workplace, engines)
  await expect(require(free + 1e9)).rejects.toMatchObject({
    kind: 'resource',
    message: expect.stringMatching(/bench: the models take \S+ [MGT]B on disk.*, \S+ [MGT]B are free; choose fewer bits/),
  })
  // Of packed weights there are 17 GB more.
  const noRoom = await require(free - 1e9)
  if (engines.includes('native')) expect(noRoom?.message).toMatch(/ on disk \(1\d\.\d GB of it packed weights\), /)
  else expect(noRoom).toBe(undefined)
})
