/**
 * Every command that writes, killed with -9 two hundred times at random moments (`train` has a test of its own): what stands
 * at the target is whole, the next command goes on at once, and after it nothing is left beside what it made.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { suspendWhere } from '../../../core/src/testing/suspend.ts'
import {
  filesOf,
  isLeftover,
  type WritingCommands,
  writerNames,
  writersOf,
  writingCommands,
} from '../testing/writing-commands.ts'

/** 200 by `npm run test:nightly`. */
const kills = Number(process.env.PARSCALE_KILLS ?? 20)
/** After so many kills, one command is left to its end. */
const batch = 10

let scratch: string
let commands: WritingCommands

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  commands = await writingCommands(scratch)
})
afterAll(async () => {
  await commands.close()
  await rm(scratch, { recursive: true, force: true })
})

/** Whether a file is there that only a killed process leaves. */
async function hasLeftover(place: string): Promise<boolean> {
  try {
    const entries = await readdir(place, { recursive: true, withFileTypes: true })
    return entries.some((entry) => !entry.isDirectory() && isLeftover(join(entry.parentPath, entry.name).slice(place.length)))
  } catch {
    return false // a folder was removed meanwhile
  }
}

/** Runs a command, and kills it when `moment` comes, if that is given. @returns the exit code, or null */
async function run(
  args: readonly string[],
  cache: string,
  moment?: (child: ChildProcess) => Promise<unknown>,
): Promise<number | null> {
  const running = commands.start(args, cache)
  if (moment) {
    await moment(running.child)
    running.kill()
  }
  return (await running.finished).code
}

it.concurrent.each(writerNames)('%s', async (name) => {
  const { args, made } = writersOf(scratch)[name]!
  const random = createRandom(11)
  const place = await mkdtemp(join(scratch, 'place-'))
  const cache = join(place, 'cache')
  const started = performance.now()
  expect(await run(args(place), cache)).toBe(0)
  const wholeMs = performance.now() - started
  const whole = await filesOf(place)
  expect(Object.keys(whole).filter(isLeftover)).toEqual([])
  let left = 0
  for (let kill = 1; kill <= kills; kill++) {
    for (const path of made) await rm(join(place, path), { recursive: true, force: true })
    // At any moment, and by turns where something partial is there, or a little later.
    await run(args(place), cache, async (child) => {
      if (kill % 2 === 0) return await sleep(wholeMs * (0.25 + 0.7 * random.uniform()))
      await suspendWhere(child, () => hasLeftover(place))
      if (kill % 4 === 1) return
      child.kill('SIGCONT')
      await sleep(10 * random.uniform())
    })
    const files = await filesOf(place)
    left += Number(Object.keys(files).some(isLeftover))
    // What is there under its own name is what it will be. Bytes that a pull has received are kept for the next one.
    for (const [path, digest] of Object.entries(files))
      if (!isLeftover(path) && !path.endsWith('.incomplete')) expect([path, digest]).toEqual([path, whole[path]])
    if (kill % batch !== 0) continue
    for (const path of made.filter((path) => basename(path) === 'new'))
      await rm(join(place, path), { recursive: true, force: true })
    expect(await run(args(place), cache)).toBe(0)
    expect(await filesOf(place)).toEqual(whole)
  }
  console.log(`${name}: ${left} of ${kills} kills left something`)
  expect(left).toBeGreaterThanOrEqual(kills >> 2)
})
