/** Callers that ask for what cannot be, or change things while they are asked: errors, never a crash. */
import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { copyFileSync, rmSync, truncateSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../core/src/testing/fixtures.ts'
import { NativeModel, type StepBatch } from '../src/index.ts'
import { batch, openRows } from './support/batches.ts'
import { type PackedFolder, packFolder } from './support/streams.ts'

let packed: PackedFolder
beforeAll(async () => {
  packed = await packFolder(byteModel)
})
afterAll(() => packed.remove())

it('a step refuses what does not fit', async () => {
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
    { prefixScores: Float32Array.of(0, Number.POSITIVE_INFINITY) },
    { adapters: Int32Array.of(0, 1) },
    { adapters: Int32Array.of(-1, 0) },
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
    await expect(model.run({ ...good, ...change } as StepBatch), JSON.stringify(change)).rejects.toMatchObject({
      kind: 'usage',
    })
  }
  await expect(model.run(null as unknown as StepBatch)).rejects.toThrow(/batch is not an object/)
  await expect(model.logits(new Float32Array(3))).rejects.toMatchObject({ kind: 'usage' })
  const hidden = new Float32Array(2 * model.facts.hiddenSize).fill(0.5)
  const room = (size: number) => new Float32Array(new SharedArrayBuffer(4 * size))
  await expect(model.logits(hidden, room(2 * model.facts.vocabSize - 1))).rejects.toThrow(/room has \d+ elements/)
  await expect(model.logits(hidden, new Float32Array(1e6))).rejects.toThrow(/not over a SharedArrayBuffer/)
  expect([...(await model.logits(hidden, room(5 * model.facts.vocabSize)))]).toEqual([...(await model.logits(hidden))])
  await expect(model.normalisedLogits(hidden, room(2 * model.facts.vocabSize - 1))).rejects.toThrow(/room has \d+ elements/)
  expect(() => model.closeRows([9])).toThrow(/not open/)
  expect(() => model.copyRows([0], [5])).toThrow(/not open/)
  expect(() => model.writePrefix(0, 99, new Float32Array(0), new Float32Array(0))).toThrow(/layer/)
  expect(() => model.writePrefix(0, 0, new Float32Array(1), new Float32Array(1))).toThrow(/whole positions/)
  expect((await model.run(good)).finite).toEqual(Uint8Array.of(1, 1))
  await model.dispose()
})

// Getters and hooks run in the middle of a call; threads change shared memory behind its back.
describe('callers that change things while they are asked', () => {
  async function withModel(use: (model: NativeModel, good: StepBatch) => Promise<void>) {
    const model = new NativeModel(packed.backbone)
    await use(model, batch(model, openRows(model, 2), 3))
    await model.dispose()
  }

  it('the model is closed by a getter', () =>
    withModel(async (model, good) => {
      const closing = {
        ...good,
        get wanted() {
          void model.dispose()
          return good.wanted
        },
      }
      await expect(model.run(closing)).rejects.toThrow(/closed/)
    }))

  it('a getter takes the memory of what was read before it', () =>
    withModel(async (model, good) => {
      const stealing = {
        ...good,
        get wanted() {
          structuredClone(good.rows, { transfer: [good.rows.buffer as ArrayBuffer] })
          return good.wanted
        },
      }
      await expect(model.run(stealing)).rejects.toMatchObject({ kind: 'usage' })
    }))

  it('a getter starts a step of its own', () =>
    withModel(async (model, good) => {
      let inner: Promise<unknown> | undefined
      const stepping = {
        ...good,
        get wanted() {
          inner = model.run(good)
          return good.wanted
        },
      }
      await expect(model.run(stepping)).rejects.toThrow(/busy/)
      await inner
    }))

  it('a hook of async resources starts a step, and closes the model', () =>
    withModel(async (model, good) => {
      const refused: Promise<unknown>[] = []
      const hook = createHook({
        init(_, type) {
          if (type !== 'parscale') return
          hook.disable()
          refused.push(expect(model.run(good)).rejects.toThrow(/busy/))
          void model.dispose()
        },
      }).enable()
      await expect(model.run(good)).rejects.toThrow(/closed/)
      expect(refused).toHaveLength(1)
      await Promise.all(refused)
    }))

  it('a setter on all objects does not see results that are being written', () =>
    withModel(async (model, good) => {
      const seen: unknown[] = []
      Object.defineProperty(Object.prototype, 'hidden', { set: (x) => seen.push(x), configurable: true })
      try {
        expect((await model.run(good)).hidden).toBeInstanceOf(Float32Array)
      } finally {
        Reflect.deleteProperty(Object.prototype, 'hidden')
      }
      expect(seen).toEqual([])
    }))

  it('another thread changes shared memory', () =>
    withModel(async (model, good) => {
      const ids = new Int32Array(new SharedArrayBuffer(4 * good.ids.length)).fill(65)
      const rows = new Int32Array(new SharedArrayBuffer(8))
      rows.set(good.rows)
      const changes = `
        const { ids, rows } = require('node:worker_threads').workerData
        for (;;) { ids.fill(0x7fffffff); rows[1] = 1 << 30; ids.fill(65); rows[1] = 1 }`
      const worker = new Worker(changes, { eval: true, workerData: { ids, rows } })
      await once(worker, 'online')
      for (let i = 0; i < 300; i++) {
        const result = await model.run({ ...good, ids, rows }).catch((error) => error)
        if (result instanceof Error) expect(result).toMatchObject({ kind: 'usage' })
      }
      await worker.terminate()
      expect((await model.run(good)).finite).toEqual(Uint8Array.of(1, 1))
    }))

  it('the packed file is cut short, or written anew beside it', async () => {
    const path = `${packed.backbone}-copy`
    copyFileSync(packed.backbone, path)
    const model = new NativeModel(path)
    const good = batch(model, openRows(model, 2), 3)
    rmSync(path)
    copyFileSync(packed.backbone, path)
    expect((await model.run(good)).finite).toEqual(Uint8Array.of(1, 1))
    await model.dispose()
    const cut = new NativeModel(path)
    openRows(cut, 2)
    truncateSync(path, 64)
    await expect(cut.run(good)).rejects.toMatchObject({ kind: 'checkpoint', message: expect.stringMatching(/cut short/) })
    await expect(cut.logits(new Float32Array(cut.facts.hiddenSize))).rejects.toThrow(/cut short/)
    await cut.dispose()
    await cut.dispose()
  })
})
