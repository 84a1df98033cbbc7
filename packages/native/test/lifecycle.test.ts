/** What goes wrong around a step: two at once, closing, leaving, running out of memory. Errors, never a crash. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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

describe('a step', () => {
  it('refuses a second one at once, and changes of rows meanwhile', async () => {
    const model = new NativeModel(packed.backbone)
    const rows = openRows(model, 4)
    const first = model.run(batch(model, rows, 64))
    await expect(model.run(batch(model, rows, 1))).rejects.toThrow(/busy/)
    expect(() => model.closeRows([rows[0]!])).toThrow(/busy/)
    await first
    await model.run(batch(model, rows, 1))
    await model.dispose()
  })

  it('lets its memory be watched meanwhile, and afterwards', async () => {
    const model = new NativeModel(packed.backbone, { threads: 1 })
    const rows = openRows(model, 4)
    await model.run(batch(model, rows, 8))
    const before = model.memoryBytes
    const seen: number[] = []
    const running = model.run(batch(model, rows, 1000))
    const timer = setInterval(() => seen.push(model.memoryBytes), 1)
    seen.push(model.memoryBytes)
    await running
    clearInterval(timer)
    expect(before).toBeGreaterThan(0)
    for (const bytes of seen) expect(bytes).toBeGreaterThanOrEqual(before)
    expect(model.memoryBytes).toBeGreaterThan(before)
    await model.dispose()
    expect(model.memoryBytes).toBe(0)
  })

  it('runs beside another model, and leaves the event loop free', async () => {
    const models = [new NativeModel(packed.backbone, { threads: 2 }), new NativeModel(packed.backbone, { threads: 3 })]
    let turns = 0
    let isOver = false
    const turn = () => {
      turns++
      if (!isOver) setImmediate(turn)
    }
    setImmediate(turn)
    const all = models.map((model) => model.run(batch(model, openRows(model, 4), 1000)))
    await Promise.all(all)
    isOver = true
    expect(turns).toBeGreaterThan(1)
    for (const model of models) await model.dispose()
  })

  it('ends with an error when its model is closed', async () => {
    const model = new NativeModel(packed.backbone)
    const step = model.run(batch(model, openRows(model, 8), 1000))
    const failed = expect(step).rejects.toThrow(/closed during the step/)
    await model.dispose()
    await failed
    await expect(model.run({} as StepBatch)).rejects.toThrow(/closed/)
    expect(() => model.openRows(1)).toThrow(/closed/)
  })

  it('says which rows are not finite', async () => {
    const model = new NativeModel(packed.backbone)
    const rows = openRows(model, 2)
    const broken = batch(model, rows, 2)
    broken.cosines.fill(Number.NaN, 0, model.facts.headDim)
    expect((await model.run(broken)).finite).toEqual(Uint8Array.of(0, 1))
    expect((await model.run(batch(model, rows, 2))).finite).toEqual(Uint8Array.of(1, 1))
    await model.dispose()
  })
})

describe('in the middle of a step', () => {
  const program = fileURLToPath(new URL('./support/long-step.ts', import.meta.url))
  const node = ['--import', 'tsx', '--conditions=source']

  /** A step may be over before its middle is met: then once more. */
  const run = async (what: string) => {
    for (let tries = 0; ; tries++) {
      const { stdout } = await promisify(execFile)(process.execPath, [...node, program, packed.backbone, what])
      if (stdout !== 'over\n' || tries === 20) return stdout
    }
  }

  it('the process may end', async () => {
    expect(await run('exit')).toBe('started\n')
  })

  it('a worker may be terminated', async () => {
    expect(await run('terminate')).toBe('terminated\n')
  })

  // Only Linux lets a process be given less memory while it runs.
  it.skipIf(process.platform !== 'linux')('the memory may run out', async () => {
    const [step, logits, ...rest] = (await run('memory')).split('\n')
    expect(step).toMatch(/^resource: .*not enough memory/)
    expect(logits).toMatch(/^resource: .*not enough memory/)
    expect(rest).toEqual(['goes on', ''])
  })

  it('several workers may run models of their own', async () => {
    expect(await run('workers')).toBe('4 workers agree\n')
  })
})
