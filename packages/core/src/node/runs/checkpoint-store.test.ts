import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CheckpointStore } from './checkpoint-store.ts'
import { checkpointAt } from './testing/training-checkpoints.ts'

let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-checkpoints-'))
})
afterEach(() => rm(scratch, { recursive: true }))

const never = (message: string) => expect.fail(message)
const folderOf = (step: number) => `step-${String(step).padStart(8, '0')}`
const fileNames = ['parameters.safetensors', 'moments.safetensors', 'state.json', 'complete'] as const

test('what is saved comes back: every bit, also of numbers that are none', async () => {
  const store = new CheckpointStore(scratch)
  const saved = checkpointAt(12, 3.25)
  saved.parameters.get('model.norm.weight')!.set([-0, Infinity, 1e-45])
  new Uint32Array(saved.m.get('model.norm.weight')!.buffer).set([0x7fc00123, 0xffc00001])
  await store.save(saved)
  const found = (await store.latest(never))!
  expect(found).toEqual(saved)
  const bits = (array: Float32Array) => [...new Uint32Array(array.buffer, array.byteOffset, array.length)]
  for (const kind of ['parameters', 'm', 'v'] as const) {
    expect([...found[kind].keys()]).toEqual([...saved[kind].keys()])
    for (const [name, array] of saved[kind]) expect(bits(found[kind].get(name)!)).toEqual(bits(array))
  }
  expect((await readdir(join(scratch, folderOf(12)))).sort()).toEqual([...fileNames].sort())
})

test('arrays may be views of larger buffers, and larger than a piece', async () => {
  const store = new CheckpointStore(scratch)
  const all = Float32Array.from({ length: 5e6 }, (_, i) => i)
  const tensors = [{ name: 'a', shape: [4_999_990] }]
  await store.save({ step: 1, state: {}, tensors, parameters: new Map([['a', all.subarray(7, -3)]]), m: new Map(), v: new Map() })
  const a = (await store.latest(never))!.parameters.get('a')!
  expect(a.length).toBe(4_999_990)
  expect(a.every((value, i) => value === i + 7)).toBe(true)
})

test('keeps the last ones and the best', async () => {
  const store = new CheckpointStore(scratch, 2)
  const losses = [5, 3, Number.NaN, 3, 4, undefined, 4.5]
  for (const [i, loss] of losses.entries()) await store.save(checkpointAt((i + 1) * 10, loss))
  expect((await readdir(scratch)).sort()).toEqual([20, 60, 70].map(folderOf))
  expect((await store.list()).map(({ step, loss }) => [step, loss])).toEqual([
    [20, 3],
    [60, undefined],
    [70, 4.5],
  ])
  expect((await store.best(never))?.step).toBe(20)
  expect((await store.latest(never))?.step).toBe(70)
})

test('a damaged best one is passed over', async () => {
  const store = new CheckpointStore(scratch)
  for (const [step, loss] of [3, 1, 2].entries()) await store.save(checkpointAt(step, loss))
  await truncate(join(scratch, folderOf(1), 'moments.safetensors'), 100)
  const messages: string[] = []
  expect((await store.best((message) => messages.push(message)))?.step).toBe(2)
  expect(messages).toEqual([expect.stringMatching(/moments\.safetensors has 100 bytes, expected \d+; taking the next best$/)])
})

test('a step that is there already stays, unless it is damaged', async () => {
  const store = new CheckpointStore(scratch)
  await store.save(checkpointAt(1, 2))
  await store.save(checkpointAt(1, 99))
  expect((await store.latest(never))?.loss).toBe(2)
  await writeFile(join(scratch, folderOf(1), 'state.json'), '')
  await store.save(checkpointAt(1, 99))
  expect((await store.latest(never))?.loss).toBe(99)
  expect(await readdir(scratch)).toEqual([folderOf(1)])
})

test('a save that fails leaves what was there, and nothing else', async () => {
  const store = new CheckpointStore(scratch)
  await store.save(checkpointAt(1))
  const broken = checkpointAt(2)
  await expect(store.save({ ...broken, v: new Map([['model.norm.weight', new Float32Array(4)]]) })).rejects.toMatchObject({
    message: 'tensor v.model.norm.weight of shape [5] takes 5 numbers, got 4',
  })
  expect(await readdir(scratch)).toEqual([folderOf(1)])
  expect(await store.latest(never)).toEqual(checkpointAt(1))
})

test('half-written folders of killed processes are not taken for checkpoints, and are removed', async () => {
  const store = new CheckpointStore(scratch)
  await store.save(checkpointAt(1))
  await mkdir(join(scratch, '.partial-step-00000002-0'))
  await writeFile(join(scratch, '.partial-step-00000002-0', 'parameters.safetensors'), 'half')
  expect((await store.latest(never))?.step).toBe(1)
  await store.removeLeftovers()
  expect(await readdir(scratch)).toEqual([folderOf(1)])
})

describe('when the last checkpoint is damaged', () => {
  test('the one before is taken, and what was wrong is said', async () => {
    const store = new CheckpointStore(scratch)
    for (const step of [100, 200, 300]) await store.save(checkpointAt(step))
    await rm(join(scratch, folderOf(300), 'complete'))
    await rm(join(scratch, folderOf(200), 'moments.safetensors'))
    const messages: string[] = []
    expect(await store.latest((message) => messages.push(message))).toEqual(checkpointAt(100))
    expect(messages).toEqual([
      `${join(scratch, folderOf(300), 'complete')} is missing: the checkpoint was not finished; going back to step 200`,
      `${join(scratch, folderOf(200), 'moments.safetensors')} is missing; going back to step 100`,
    ])
    await store.removeAfter(100)
    expect(await readdir(scratch)).toEqual([folderOf(100)])
  })

  test('a first checkpoint that was not finished means the beginning; one that was damaged later does not', async () => {
    const store = new CheckpointStore(scratch)
    await store.save(checkpointAt(100))
    await truncate(join(scratch, folderOf(100), 'complete'), 0)
    await expect(store.latest(never)).rejects.toMatchObject({
      kind: 'checkpoint',
      message: expect.stringMatching(/no checkpoint is whole; restore one from a backup.*\n.*complete is not valid JSON/),
    })
    await rm(join(scratch, folderOf(100), 'complete'))
    const messages: string[] = []
    expect(await store.latest((message) => messages.push(message))).toBeUndefined()
    expect(messages).toEqual([expect.stringMatching(/starting from the beginning$/)])
  })
})

type Event =
  | { readonly kind: 'save'; readonly loss: number | undefined }
  | { readonly kind: 'resume' }
  | { readonly kind: 'damage'; readonly newest: number; readonly file: number; readonly how: number; readonly where: number }

const history = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('save' as const), loss: fc.option(fc.nat(3), { nil: undefined }) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'resume' as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('damage' as const),
        newest: fc.nat(2),
        file: fc.nat(3),
        how: fc.nat(4),
        where: fc.nat(1e6),
      }),
    },
  ),
  { minLength: 3, maxLength: 10 },
)

/** Damages a file as disks and people do, but not so that JSON would be the same: by white space at its end, say. */
async function damage(path: string, how: number, where: number): Promise<void> {
  const bytes = await readFile(path)
  if (how === 0) return rm(path)
  if (how === 1) return truncate(path, where % Math.max(bytes.length - 2, 1))
  if (how === 2) return writeFile(path, Buffer.concat([bytes, Buffer.of(0x80 | (where % 128))]))
  if (bytes.length > 0) bytes[where % bytes.length]! ^= 0x80 | (where % 128)
  return writeFile(path, bytes)
}

test('whatever happens to it, a store gives the newest checkpoint that was not touched, or says that there is none', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(history, async (events: readonly Event[]) => {
      const folder = join(scratch, String(run++))
      const store = new CheckpointStore(folder, 3)
      const touched = new Set<number>()
      let step = 0
      for (const event of events) {
        const steps = (await readdir(folder).catch(() => []))
          .map((name) => Number(name.slice('step-'.length)))
          .sort((a, b) => b - a)
        if (event.kind === 'save') {
          await store.save(checkpointAt(++step, event.loss))
          touched.delete(step)
        } else if (event.kind === 'damage') {
          const hit = steps[event.newest]
          if (hit === undefined || touched.has(hit)) continue
          await damage(join(folder, folderOf(hit), fileNames[event.file]!), event.how, event.where)
          touched.add(hit)
        } else {
          const messages: string[] = []
          const newest = steps.find((each) => !touched.has(each))
          const found = await store.latest((message) => messages.push(message)).catch((error) => error)
          if (newest === undefined) {
            if (found instanceof Error) expect(found.message).toContain('no checkpoint is whole')
            else expect(found).toBeUndefined()
            return
          }
          expect(found.parameters).toEqual(checkpointAt(newest).parameters)
          expect(found.state).toEqual(checkpointAt(newest).state)
          expect(messages).toHaveLength(steps.indexOf(newest))
          await store.removeAfter(newest)
          step = newest
        }
      }
    }),
    { numRuns: 40 },
  )
})
