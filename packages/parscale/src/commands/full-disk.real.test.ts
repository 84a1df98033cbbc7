/**
 * Every command that writes, on a disk that fails at any of its writes: one line names the path and says what to do, the exit
 * code is the documented one, what stands under its own name is whole, and the next command with room leaves nothing beside it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { createRandom } from '@parscale/core/internal'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { testSeed as seed } from '../../../core/src/testing/seed.ts'
import type { Finished } from '../testing/cli.ts'
import { canCompileFailingDisk, type DiskFault, type FailingDisk, failingDisk } from '../testing/failing-disk/failing-disk.ts'
import {
  cachingWriters,
  filesOf,
  isLeftover,
  plottingWriters,
  recipe,
  type WritingCommands,
  writersOf,
  writingCommands,
} from '../testing/writing-commands.ts'

/** How many failures of each command; `npm run test:nightly` tries every write. */
const most = Number(process.env.PARSCALE_DISK_FAILURES ?? 2)
const faults: readonly DiskFault[] = ['ENOSPC', 'ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'short']

const canFail = canCompileFailingDisk()
if (!canFail) process.stderr.write('no C compiler, or not Linux: disks that fail are left out\n')

let scratch: string
let disk: FailingDisk
let commands: WritingCommands

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-disk-'))
  if (canFail) disk = failingDisk(scratch)
  commands = await writingCommands(scratch)
})
afterAll(async () => {
  await commands?.close()
  await rm(scratch, { recursive: true, force: true })
})

interface Failure {
  readonly at: number
  readonly fault: DiskFault
  readonly once: boolean
}

/** Spread over all calls that write, in a random order of faults. */
function failures(calls: number, count: number): Failure[] {
  const random = createRandom(seed)
  const length = Math.min(count, calls)
  return Array.from({ length }, (_, i) => ({
    at: 1 + Math.floor(((i + random.uniform()) * calls) / length),
    fault: faults[Math.floor(random.uniform() * faults.length)]!,
    once: random.uniform() < 0.3,
  }))
}

/** One line names the path, what is wrong and what to do. */
const refusal = /^parscale: (--\S+ )?\/\S+: (the disk is full|the disk quota is used up|cannot be written \(E[A-Z]+\)); [^\n]+\n$/

function expectRefusal({ code, stderr }: Finished, fault: DiskFault, what: string): void {
  // A disk that was made read-only is no less than a place that one may not write to.
  const codes = fault === 'short' ? [] : fault === 'EROFS' ? [2, 4] : [4]
  expect.soft(codes, `${what}: ${stderr}`).toContain(code)
  expect.soft(stderr.replace(/^(?!parscale: ).*\n/gm, ''), what).toMatch(refusal)
}

const described = (place: string, { at, fault, once }: Failure, calls: number) =>
  `seed ${seed}, write ${at} of ${calls}: ${fault}${once ? ' once' : ''}: ${disk.result().first.replace(place, '')}`

const removeAll = async (place: string, paths: readonly string[]) => {
  for (const path of paths) await rm(join(place, path), { recursive: true, force: true })
}

const writers = { ...writersOf(''), ...cachingWriters, ...plottingWriters }

it.runIf(canFail).each(Object.keys(writers))('%s', async (name) => {
  const { args, made } = { ...writers, ...writersOf(scratch) }[name]!
  const place = await mkdtemp(join(scratch, 'place-'))
  const run = (env?: NodeJS.ProcessEnv) => commands.start(args(place), join(place, 'cache'), env).finished
  expect(await run()).toMatchObject({ code: 0 })
  const whole = await filesOf(place)
  await removeAll(place, made)
  await run(disk.env(place, 0, 'ENOSPC'))
  const { calls, list } = disk.result()
  expect(calls).toBeGreaterThan(2)
  // A path that somebody names is refused when it is taken.
  const named = made.filter((path) => basename(path).startsWith('new'))
  const tried = failures(calls, name === 'bench' ? Math.ceil(most / 4) : most)
  // Too short to be met by chance; one more to both sides, as calls of several threads change places.
  const meet = (kind: RegExp, fault: DiskFault) => {
    const numbers = list.flatMap((call, i) => (kind.test(call) ? [i, i + 1, i + 2] : []))
    for (const at of new Set(numbers.filter(Boolean))) tried.push({ at, fault, once: false })
  }
  // Of the cache's lock the first half is written.
  const meetsLock = name === 'a GGUF file'
  if (meetsLock) meet(/^write \S+\.lock$/, 'ENOSPC')
  // After the model is packed nothing can be removed, the lock neither, and the command asks for it again.
  const keepsLock = name === 'score --logits'
  if (keepsLock) meet(/^open \S+\.in-use/, 'EIO')
  const reached: string[] = []
  for (const failure of tried) {
    const { at, fault, once } = failure
    await removeAll(place, made)
    const failed = await run(disk.env(place, at, fault, once))
    const what = described(place, failure, calls)
    reached.push(what)
    const found = await filesOf(place)
    for (const [path, digest] of Object.entries(found))
      if (!isLeftover(path) && !path.endsWith('.incomplete')) expect.soft([path, digest], what).toEqual([path, whole[path]])
    if (failed.code === 0) {
      // What could not be kept was not needed; what was asked for is there.
      for (const path of named) expect.soft(Object.keys(found).join(), what).toContain(`/${path}`)
    } else {
      expectRefusal(failed, fault, what)
    }
    if (!['EIO', 'EROFS'].includes(fault) || once) expect.soft(Object.keys(found).filter(isLeftover), what).toEqual([])
    await removeAll(place, named)
    expect.soft(await run(), what).toMatchObject({ code: 0 })
    expect.soft(await filesOf(place), what).toEqual(whole)
  }
  if (meetsLock) expect(reached.join('\n')).toMatch(/write \S+\.lock$/m)
  if (keepsLock) expect(reached.join('\n')).toMatch(/open \S+\.in-use/)
  console.log(`${name}: ${tried.length} of ${calls} writes failed, seed ${seed}`)
})

it.runIf(canFail)('train, and train --resume', async () => {
  const place = await mkdtemp(join(scratch, 'place-'))
  const [cache, out] = [join(place, 'cache'), join(place, 'run')]
  const isWeights = (path: string) => path.startsWith('/run/') && path.endsWith('.safetensors')
  const weights = async () => Object.fromEntries(Object.entries(await filesOf(place)).filter(([path]) => isWeights(path)))
  const train = (env?: NodeJS.ProcessEnv) => commands.start(recipe(scratch, out), cache, env).finished
  expect(await train()).toMatchObject({ code: 0 })
  const whole = await weights()
  await removeAll(place, ['run', 'cache'])
  await train(disk.env(place, 0, 'ENOSPC'))
  const { calls } = disk.result()
  const tried = failures(calls, 2 * most)
  for (const failure of tried) {
    await removeAll(place, ['run', 'cache'])
    const failed = await train(disk.env(place, failure.at, failure.fault, failure.once))
    const what = described(place, failure, calls)
    if (failed.code !== 0) expectRefusal(failed, failure.fault, what)
    // Either there is a run to go on with, or the folder may be used for a new one.
    const resumed = await commands.start(['train', '--resume', out, '--threads', '1'], cache).finished
    if (resumed.code !== 0) expect.soft(await train(), `${what}: ${resumed.stderr}`).toMatchObject({ code: 0 })
    expect.soft(await weights(), what).toEqual(whole)
    expect.soft(Object.keys(await filesOf(place)).filter(isLeftover), what).toEqual([])
  }
  console.log(`train: ${tried.length} of ${calls} writes failed, seed ${seed}`)
})
