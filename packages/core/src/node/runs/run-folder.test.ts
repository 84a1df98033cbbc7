import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type RunContents, RunFolder, readRun } from './run-folder.ts'
import { checkpointAt } from './testing/training-checkpoints.ts'

let scratch: string
let path: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-run-'))
  path = join(scratch, 'run')
})
afterEach(() => rm(scratch, { recursive: true }))

const config = { recipe: 'pretrain', seed: 7 }
const never = (message: string) => expect.fail(message)

/** What a trainer does from one step to another: a record a step, a sample and a checkpoint every second one. */
async function train(run: RunFolder, from: number, to: number): Promise<void> {
  for (let step = from; step <= to; step++) {
    await run.log({ step, kind: 'train', loss: 4 / step, learningRate: 1e-3, streamLoss: [step, step + 0.5], note: 'x' })
    if (step % 2 !== 0) continue
    await run.sample({ step, prompt: 'Once', text: ` upon ${step}\n` })
    await run.saveCheckpoint(checkpointAt(step))
  }
}

async function untimed({ path: folder }: Pick<RunContents, 'path'>): Promise<string> {
  return (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).replaceAll(/"time":"[^"]*"/g, '"time":""')
}

test('a run that is left in the middle and resumed ends with the files of one that was not', async () => {
  const whole = await RunFolder.create(join(scratch, 'whole'), config)
  await train(whole, 1, 6)
  await whole.close()

  const first = await RunFolder.create(path, config)
  await train(first, 1, 5) // checkpoint at 4, then a step more
  await first.close()
  const second = await RunFolder.open(path)
  expect(second.config).toEqual(config)
  const resumed = await second.resume(never)
  expect(resumed).toEqual({ ...checkpointAt(4), logBytes: expect.anything() })
  await train(second, 5, 6)
  await second.close()

  expect(await untimed(second)).toBe(await untimed(whole))
  expect(await readFile(join(path, 'samples.jsonl'))).toEqual(await readFile(join(whole.path, 'samples.jsonl')))
  const events = async (folder: string) => {
    const name = (await readdir(folder)).find((file) => file.includes('tfevents'))!
    return (await readFile(join(folder, name))).length
  }
  expect(await events(path)).toBe(await events(whole.path))
  expect((await readdir(path)).sort()).toEqual([
    'checkpoints',
    'config.json',
    expect.stringMatching(/^events\.out\.tfevents\.\d+\./),
    'metrics.jsonl',
    'samples.jsonl',
  ])
})

test('a run that has no checkpoint yet begins again', async () => {
  const first = await RunFolder.create(path, config)
  await train(first, 1, 1)
  await first.close()
  const second = await RunFolder.open(path)
  expect(await second.resume(never)).toBeUndefined()
  expect(await untimed(second)).toBe('')
  await train(second, 1, 1)
  await second.close()
  expect((await untimed(second)).split('\n')).toHaveLength(2)
})

test('records are lines with the time last', async () => {
  const run = await RunFolder.create(path, config)
  await Promise.all([1, 2, 3].map((step) => run.log({ step, kind: 'train', loss: step, gradNorm: Number.NaN })))
  await run.close()
  const lines = (await readFile(join(path, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n')
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    [1, 2, 3].map((step) => ({ step, kind: 'train', loss: step, gradNorm: null, time })),
  )
  expect(Object.keys(JSON.parse(lines[0]!))).toEqual(['step', 'kind', 'loss', 'gradNorm', 'time'])
})

test('half a line and half an event, left by a killed process, are removed', async () => {
  const first = await RunFolder.create(path, config)
  await first.log({ step: 1, kind: 'train', loss: 1 })
  await first.saveCheckpoint(checkpointAt(1))
  await first.close()
  const names = (await readdir(path)).filter((name) => /metrics|tfevents/.test(name))
  const before = await Promise.all(names.map((name) => readFile(join(path, name))))
  for (const name of names) await writeFile(join(path, name), '{"step":2,"ki', { flag: 'a' })
  await (await RunFolder.open(path)).close()
  expect(await Promise.all(names.map((name) => readFile(join(path, name))))).toEqual(before)
})

test('a folder that is taken is refused, with what to do', async () => {
  const run = await RunFolder.create(path, config)
  const taken = { kind: 'usage', message: `${path} has a run already: go on with it with --resume, or choose another --out` }
  await expect(RunFolder.create(path, config)).rejects.toMatchObject(taken)
  await expect(RunFolder.open(path)).rejects.toMatchObject({
    kind: 'usage',
    message: `${path}: process ${process.pid} on ${hostname()} is training here; wait for it, stop it, or choose another --out`,
  })
  await run.close()
  await (await RunFolder.open(path)).close()

  await writeFile(join(scratch, 'thesis.txt'), 'x')
  await expect(RunFolder.create(scratch, config)).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringContaining('is not empty'),
  })
  await expect(RunFolder.create(join(scratch, 'thesis.txt'), config)).rejects.toMatchObject({ kind: 'usage' })
  await expect(RunFolder.open(scratch)).rejects.toMatchObject({ message: expect.stringContaining('is not the folder of a run') })
  expect((await readdir(scratch)).sort()).toEqual(['run', 'thesis.txt'])
})

test('a run that was killed before it had what it needs has not begun, and begins in the same folder', async () => {
  const prepare = (text: string) => (folder: string) => writeFile(join(folder, 'tokenizer.json'), text)
  await expect(
    RunFolder.create(path, config, {
      prepare: (folder) => prepare('{"ha')(folder).then(() => Promise.reject(new Error('killed'))),
    }),
  ).rejects.toThrow('killed')
  await expect(RunFolder.open(path)).rejects.toThrow('is not the folder of a run')
  const run = await RunFolder.create(path, config, { prepare: prepare('{}') })
  await run.close()
  expect(await readFile(join(path, 'tokenizer.json'), 'utf8')).toBe('{}')
  expect(await readdir(path)).not.toContain('config.json.partial')
})

test('of several who begin the same run at once, one does', async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, (_, seed) => RunFolder.create(path, { seed })))
  const runs = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  expect(runs).toHaveLength(1)
  expect(JSON.parse(await readFile(join(path, 'config.json'), 'utf8'))).toEqual(runs[0]!.config)
  for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'usage' })
  await runs[0]!.close()
})

test('who lost the run to somebody else saves nothing any more', async () => {
  const run = await RunFolder.create(path, config)
  await writeFile(join(path, 'lock'), JSON.stringify({ id: 'theirs', pid: 1, host: 'another machine' }))
  await expect(run.saveCheckpoint(checkpointAt(1))).rejects.toThrow('another process has taken this run over')
  await run.close()
  expect(await readFile(join(path, 'lock'), 'utf8')).toContain('theirs')
})

test('anybody may read a run that is being written', async () => {
  const run = await RunFolder.create(path, config)
  await train(run, 1, 4)
  const seen = await readRun(path)
  expect(seen.config).toEqual(config)
  expect((await seen.checkpoints.latest(never))?.step).toBe(4)
  await run.close()
})

test('opening a run removes what a killed export left in it, and nothing else', async () => {
  const run = await RunFolder.create(path, config)
  await run.close()
  await mkdir(join(path, '.preview.partial-0b1f'))
  await writeFile(join(path, '.preview.partial-0b1f', 'model.safetensors'), 'half')
  await writeFile(join(path, '.notes'), 'mine')
  const before = await readdir(path)
  await (await RunFolder.open(path)).close()
  expect(await readdir(path)).toEqual(before.filter((name) => name !== '.preview.partial-0b1f'))
})
