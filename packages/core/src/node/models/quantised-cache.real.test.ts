/** Caches whose makers are killed, or are two at once, or have no room: real processes, real signals, a real small disk. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createRandom } from '../../random.ts'
import { suspendWhere } from '../../testing/suspend.ts'

const model = fileURLToPath(new URL('../../../../parscale/models/small', import.meta.url))

let scratch: string
let program: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  program = join(scratch, 'quantise-model.mjs')
  // A bundle starts several times faster than sources.
  const entryPoints = [fileURLToPath(new URL('./testing/quantise-model.ts', import.meta.url))]
  await build({ entryPoints, bundle: true, platform: 'node', format: 'esm', outfile: program, logLevel: 'error' })
})
afterAll(() => rm(scratch, { recursive: true }))

const start = (cache: string): ChildProcess =>
  spawn(process.execPath, [program, model, cache], { stdio: ['ignore', 'pipe', 'pipe'] })

async function finish(child: ChildProcess): Promise<{ folder: string; waited: boolean }> {
  return JSON.parse((await text(child.stdout!)).replace('begun\n', ''))
}

/** Every file below a folder, by its path. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    // A killed process leaves its mark in what it used; the next one that uses it removes it.
    if (entry.isFile() && !entry.name.startsWith('.in-use.partial-'))
      files[path.slice(folder.length)] = await readFile(path, 'latin1')
  }
  return files
}

it('whatever moment its makers are killed at, what is in the cache is whole', async () => {
  // How long it takes from its first word on, so that kills come within.
  const first = start(join(scratch, 'expected'))
  const ended = once(first, 'exit')
  await once(first.stdout!, 'data')
  const begun = performance.now()
  await ended
  const duration = performance.now() - begun
  const { folder: expected } = await finish(start(join(scratch, 'expected')))
  const whole = await filesOf(expected)
  const cache = join(scratch, 'killed')
  const random = createRandom(3)
  const quantised = () => readdir(join(cache, 'quantised')).catch((): string[] => [])
  let halfWritten = 0
  for (let round = 0; round < 25; round++) {
    const child = start(cache)
    const exit = once(child, 'exit') // asked for now: it may come before it is killed
    await once(child.stdout!, 'data')
    // By turns at any moment, and where the folder is half-written.
    const isHalfWritten = async () => (await quantised()).some((name) => name.includes('.partial-'))
    if (round % 2 === 0) await sleep(random.uniform() * duration)
    else if (!(await suspendWhere(child, isHalfWritten))) expect.fail('it has ended before it wrote')
    child.kill('SIGKILL')
    await exit
    const names = await quantised()
    halfWritten += Number(names.some((name) => name.includes('.partial-')))
    if (!names.includes(basename(expected))) continue
    expect(await filesOf(join(cache, 'quantised', basename(expected)))).toEqual(whole)
    await rm(join(cache, 'quantised', basename(expected)), { recursive: true })
  }
  console.log(`${halfWritten} of 25 kills left a folder half-written`)
  expect(halfWritten).toBeGreaterThanOrEqual(12)
  const { folder } = await finish(start(cache))
  expect(await filesOf(folder)).toEqual(whole)
  expect(await readdir(join(cache, 'quantised'))).toEqual([basename(expected)])
})

it('of several at once one makes it, and the others wait and use it', async () => {
  const cache = join(scratch, 'shared')
  // The first one stands still in the middle until another one waits for it.
  const first = start(cache)
  const isHalfWritten = async () =>
    (await readdir(join(cache, 'quantised')).catch((): string[] => [])).some((name) => name.includes('.partial-'))
  expect(await suspendWhere(first, isHalfWritten)).toBe(true)
  const others = [start(cache), start(cache)]
  const ended = [first, ...others].map(finish)
  await Promise.all(others.map((other) => once(other.stderr!, 'data')))
  first.kill('SIGCONT')
  const results = await Promise.all(ended)
  expect(new Set(results.map(({ folder }) => folder)).size).toBe(1)
  expect(results.map(({ waited }) => waited)).toEqual([false, true, true])
  expect(await readdir(join(cache, 'quantised'))).toEqual([basename(results[0]!.folder)])
})

// Some containers forbid namespaces.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount)('a full disk leaves nothing behind and is said', async () => {
  const disk = await mkdtemp(join(scratch, 'disk-'))
  const mounting = ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs "$0" && exec node "$1" "$2" "$0"']
  const output = execFileSync('unshare', [...mounting, disk, program, model], { encoding: 'utf8' })
  const { kind, message, left } = JSON.parse(output.replace('begun\n', ''))
  expect(kind).toBe('resource')
  expect(message).toContain('the disk is full; nothing was left behind')
  expect(left.filter((name: string) => !name.startsWith('sources'))).toEqual(['quantised'])
})
