/** What goes wrong around a step: wrong arguments, two at once, closing, leaving, running out of memory. Errors, never a crash. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../parscale/test/support/fixtures.ts'
import { NativeModel, type StepBatch } from '../src/index.ts'
import { type PackedFolder, packFolder } from './support/streams.ts'

let packed: PackedFolder
beforeAll(async () => {
  packed = await packFolder(byteModel)
})
afterAll(() => packed.remove())

const batch = (model: NativeModel, rows: readonly number[], count: number): StepBatch => ({
  rows: Int32Array.from(rows),
  prefixes: new Int32Array(rows.length),
  prefixScores: new Float32Array(rows.length),
  lengths: new Int32Array(rows.length),
  counts: new Int32Array(rows.length).fill(count),
  ids: new Int32Array(rows.length * count).fill(65),
  cosines: new Float32Array((rows.length * count * model.facts.headDim) / 2).fill(1),
  sines: new Float32Array((rows.length * count * model.facts.headDim) / 2),
  wanted: new Uint8Array(rows.length * count),
})

const openRows = (model: NativeModel, n: number): number[] => Array.from({ length: n }, () => model.openRow())

describe('a step', () => {
  it('refuses what does not fit', async () => {
    const model = new NativeModel(packed.backbone)
    const rows = openRows(model, 2)
    const good = batch(model, rows, 3)
    const bad: Partial<Record<keyof StepBatch, unknown>>[] = [
      { rows: Int32Array.of(0, 7) },
      { rows: Int32Array.of(0, 0) },
      { rows: Int32Array.of(0) },
      { rows: new Float32Array(2) },
      { rows: [0, 1] },
      { rows: new Int32Array(0), prefixes: new Int32Array(0) },
      { prefixes: Int32Array.of(-1, 0) },
      { prefixes: Int32Array.of(0, 1) },
      { lengths: Int32Array.of(0, 2 ** 31 - 1) },
      { prefixScores: Float32Array.of(0, Number.NaN) },
      { counts: Int32Array.of(3, 0) },
      { counts: Int32Array.of(3, 4) },
      { counts: Int32Array.of(2 ** 31 - 1, 2 ** 31 - 1) },
      { ids: new Int32Array(6).fill(-1) },
      { ids: new Int32Array(6).fill(model.facts.vocabSize) },
      { cosines: new Float32Array(5) },
      { sines: undefined },
      { wanted: new Uint8Array(7) },
    ]
    for (const change of bad) {
      await expect(model.step({ ...good, ...change } as StepBatch), JSON.stringify(change)).rejects.toMatchObject({
        kind: 'usage',
      })
    }
    await expect(model.step(null as unknown as StepBatch)).rejects.toThrow()
    await expect(model.logits(new Float32Array(3))).rejects.toMatchObject({ kind: 'usage' })
    expect(() => model.closeRow(9)).toThrow(/not open/)
    expect(() => model.copyRows([0], [5])).toThrow(/not open/)
    expect(() => model.writePrefix(0, 99, new Float32Array(0), new Float32Array(0))).toThrow(/layer/)
    expect(() => model.writePrefix(0, 0, new Float32Array(1), new Float32Array(1))).toThrow(/whole places/)
    expect((await model.step(good)).finite).toEqual(Uint8Array.of(1, 1))
    await model.dispose()
  })

  it('refuses a second one at once, and changes of rows meanwhile', async () => {
    const model = new NativeModel(packed.backbone)
    const rows = openRows(model, 4)
    const first = model.step(batch(model, rows, 64))
    await expect(model.step(batch(model, rows, 1))).rejects.toThrow(/busy/)
    expect(() => model.closeRow(rows[0]!)).toThrow(/busy/)
    await first
    await model.step(batch(model, rows, 1))
    await model.dispose()
  })

  it('runs beside another model, and leaves the event loop free', async () => {
    const models = [new NativeModel(packed.backbone, { threads: 2 }), new NativeModel(packed.backbone, { threads: 3 })]
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    const all = models.map((model) => model.step(batch(model, openRows(model, 4), 1000)))
    await Promise.all(all)
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(1)
    for (const model of models) await model.dispose()
  })

  it('ends with an error when its model is closed', async () => {
    const model = new NativeModel(packed.backbone)
    const step = model.step(batch(model, openRows(model, 8), 1000))
    const failed = expect(step).rejects.toThrow(/closed during the step/)
    await model.dispose()
    await failed
    await expect(model.step({} as StepBatch)).rejects.toThrow(/closed/)
    expect(() => model.openRow()).toThrow(/closed/)
  })

  it('says which rows are not finite', async () => {
    const model = new NativeModel(packed.backbone)
    const rows = openRows(model, 2)
    const broken = batch(model, rows, 2)
    broken.cosines.fill(Number.NaN, 0, model.facts.headDim)
    expect((await model.step(broken)).finite).toEqual(Uint8Array.of(0, 1))
    expect((await model.step(batch(model, rows, 2))).finite).toEqual(Uint8Array.of(1, 1))
    await model.dispose()
  })
})

describe('in the middle of a step', () => {
  const program = fileURLToPath(new URL('./support/long-step.ts', import.meta.url))
  const node = ['--import', 'tsx', '--conditions=source']

  const run = async (what: string) =>
    (await promisify(execFile)(process.execPath, [...node, program, packed.backbone, what])).stdout

  it('the process may end', async () => {
    expect(await run('exit')).toBe('started\n')
  })

  it('a worker may be terminated', async () => {
    expect(await run('terminate')).toBe('terminated\n')
  })

  // Only Linux lets a process be given less memory while it runs.
  it.skipIf(process.platform !== 'linux')('the memory may run out', async () => {
    expect(await run('memory')).toMatch(/^resource: .*not enough memory/)
  })
})
