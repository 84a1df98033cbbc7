/** Writers that are killed with -9 at any moment: what is in place is whole, and the next writer leaves nothing beside it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRandom } from '../../random.ts'
import { suspendWhere } from '../../testing/suspend.ts'
import { CheckpointStore } from '../runs/checkpoint-store.ts'
import { writers } from './testing/writers.ts'

/** A killed process leaves its mark in what it used; the next one that uses it removes it. */
const isMark = (name: string) => name.startsWith('.in-use.partial-')

let scratch: string
let program: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  program = join(scratch, 'write-again.mjs')
  // A bundle starts several times faster than sources.
  const entryPoints = [fileURLToPath(new URL('./testing/write-again.ts', import.meta.url))]
  await build({ entryPoints, bundle: true, platform: 'node', format: 'esm', outfile: program, logLevel: 'error' })
})
afterAll(() => rm(scratch, { recursive: true }))

const size = 1 << 18
const rounds = 10
const random = createRandom(7)

/** Where each writes within its folder, and what must be true of every entry there, after any kill. */
const places: readonly [what: string, place: string, whole: (path: string) => Promise<unknown>][] = [
  ['file', '', async (path) => expect((await stat(path)).size).toBe(size)],
  ['folder', '', async (path) => expect((await stat(join(path, 'b'))).size).toBe(size)],
  [
    'tokens',
    'tokens',
    async (path) =>
      expect((await readdir(path)).filter((name) => !isMark(name)).sort()).toEqual([
        'hashes.json',
        'held-out.tokens',
        'train.tokens',
      ]),
  ],
  ['cache', 'made', async (path) => expect((await stat(join(path, 'b'))).size).toBe(size)],
  ['checkpoints', 'checkpoints', async () => {}],
]

test.concurrent.each(places)('%s', async (what, place, whole) => {
  const folder = join(scratch, what)
  await mkdir(folder)
  await writeFile(join(folder, 'data.txt'), Array.from({ length: 2000 }, (_, i) => `Paragraph ${i}.`).join('\n\n'))
  const entries = async () => (await readdir(join(folder, place)).catch((): string[] => [])).filter((name) => name !== 'data.txt')
  let left = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [program, what, folder, `${round * 1000}`], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    // By turns at any moment, and where something partial is there.
    if (round % 2 === 0) await sleep(10 + random.uniform() * 80)
    else await suspendWhere(child, async () => (await entries()).some((name) => name.startsWith('.')))
    child.kill('SIGKILL')
    await once(child, 'exit')
    const names = await entries()
    left += Number(names.some((name) => name.startsWith('.')))
    for (const name of names.filter((name) => !name.startsWith('.'))) await whole(join(folder, place, name))
    await writers[what]!(folder, round * 1000 + 999)
    expect((await entries()).filter((name) => name.startsWith('.'))).toEqual([])
  }
  expect(left).toBeGreaterThanOrEqual(rounds / 2)
  if (what !== 'checkpoints') return
  const newest = await new CheckpointStore(join(folder, place)).latest((message) => expect.fail(message))
  expect(newest?.step).toBeGreaterThan(0)
})
