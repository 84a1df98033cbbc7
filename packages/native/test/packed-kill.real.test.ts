/** Packed files whose makers are killed, or have no room: real processes, real signals, disks that are full at any write, a real small one. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRandom } from '@parscale/core/internal'
import { castStream, type TensorStream } from '@parscale/core/internal/checkpoint'
import { writeModelFolder } from '@parscale/core/internal/node'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { suspendWhere } from '../../core/src/testing/suspend.ts'
import { resolveShape } from '../../parscale/src/bench/model-shape.ts'
import { syntheticContents } from '../../parscale/src/bench/synthetic-model.ts'
import { canCompileFailingDisk, failingDisk } from '../../parscale/src/testing/failing-disk/failing-disk.ts'

const program = fileURLToPath(new URL('support/pack-model.ts', import.meta.url))
const node = ['--conditions=source', '--import', 'tsx', program]

let scratch: string
let model: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-packed-kill-'))
  model = join(scratch, 'model')
  const { shape } = await resolveShape('0.5B', { layers: 2, vocab: 20_000 }, process.env)
  const contents = syntheticContents({ shape, bits: 32, streams: [] })
  const tensors = contents.tensors.map((tensor): TensorStream => castStream(tensor, 'BF16'))
  await writeModelFolder(model, { ...contents, tensors })
})
afterAll(() => rm(scratch, { recursive: true }))

const start = (cache: string): ChildProcess =>
  spawn(process.execPath, [...node, model, cache], { stdio: ['ignore', 'pipe', 'inherit'] })
const resultOf = (output: string) => JSON.parse(output.replace('begun\n', ''))
const finish = async (child: ChildProcess): Promise<{ folder: string }> => resultOf(await text(child.stdout!))

async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  // A killed process leaves its mark in what it used.
  for (const name of await readdir(folder))
    if (!name.startsWith('.in-use.partial-')) files[name] = await readFile(join(folder, name), 'latin1')
  return files
}

it('whatever moment its maker is killed at, what is in the cache is whole', async () => {
  const first = start(join(scratch, 'expected'))
  const ended = once(first, 'exit')
  const output = text(first.stdout!)
  await once(first.stdout!, 'data')
  const begun = performance.now()
  await ended
  const duration = performance.now() - begun
  const { folder: expected } = resultOf(await output)
  const whole = await filesOf(expected)
  const cache = join(scratch, 'killed')
  const packed = join(cache, 'packed')
  const random = createRandom(3)
  const entries = () => readdir(packed).catch((): string[] => [])
  let halfWritten = 0
  for (let round = 0; round < 15; round++) {
    const child = start(cache)
    const exit = once(child, 'exit') // asked for now: it may come before it is killed
    await once(child.stdout!, 'data')
    // By turns at any moment, and where the folder is half-written.
    const isHalfWritten = async () => (await entries()).some((name) => name.includes('.partial-'))
    if (round % 2 === 0) await sleep(random.uniform() * duration)
    else if (!(await suspendWhere(child, isHalfWritten))) expect.fail('it has ended before it wrote')
    child.kill('SIGKILL')
    await exit
    const names = await entries()
    halfWritten += Number(names.some((name) => name.includes('.partial-')))
    if (!names.includes(basename(expected))) continue
    expect(await filesOf(join(packed, basename(expected)))).toEqual(whole)
    await rm(join(packed, basename(expected)), { recursive: true })
  }
  console.log(`${halfWritten} of 15 kills left a folder half-written`)
  expect(halfWritten).toBeGreaterThanOrEqual(7)
  const { folder } = await finish(start(cache))
  expect(await filesOf(folder)).toEqual(whole)
  expect(await readdir(packed)).toEqual([basename(expected)])
})

it('of several at once one makes it, and the others use it', async () => {
  const cache = join(scratch, 'shared')
  const results = await Promise.all([start(cache), start(cache), start(cache)].map(finish))
  expect(new Set(results.map(({ folder }) => folder)).size).toBe(1)
  expect(await readdir(join(cache, 'packed'))).toEqual([basename(results[0]!.folder)])
})

/** What was said, and the files in the cache then, with their digests. Marks of who uses a folder, and what is remembered of sources, apart. */
async function afterwards(cache: string, output: string) {
  const { kind, message } = resultOf(output)
  const files: Record<string, string> = {}
  for (const entry of await readdir(cache, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !path.startsWith(join(cache, 'sources')) && !entry.name.startsWith('.in-use.partial-'))
      files[path.slice(cache.length)] = createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
  }
  return { kind, message, files }
}

const canFail = canCompileFailingDisk()

it.runIf(canFail)(
  'a disk that is full from any kind of write on leaves nothing behind and is said, or is not needed any more',
  async () => {
    const disk = failingDisk(scratch)
    const run = async (at: number) => {
      const cache = await mkdtemp(join(scratch, 'full-'))
      const env = { ...process.env, ...disk.env(join(cache, 'packed'), at, 'ENOSPC') }
      const output = execFileSync(process.execPath, [...node, model, cache], {
        encoding: 'utf8',
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const written = disk.result().list.map((call) => call.replace(cache, '').replace(/\.partial-[\w-]+/g, '.partial'))
      return { ...(await afterwards(cache, output)), written }
    }
    const whole = await run(0)
    expect(
      Object.keys(whole.files)
        .map((path) => basename(path))
        .sort(),
    ).toEqual(['files.json', 'hashes.json', 'weights'])
    // Of calls that are alike the first, one in the middle, and the last.
    const kinds = new Map<string, number[]>()
    for (const [i, call] of whole.written.entries()) kinds.set(call, [...(kinds.get(call) ?? []), i + 1])
    const weights = [...kinds].find(([call, { length }]) => call.startsWith('write ') && length > 2)![1]
    expect(weights.length).toBeGreaterThan(10)
    const moves = [...kinds.keys()].filter((call) => /^rename .*\/(weights|backbone-[^/]+)$/.test(call))
    expect(moves).toHaveLength(2)
    const moved = whole.written.findLastIndex((call) => call.startsWith('rename ')) + 1
    for (const [call, numbers] of kinds) {
      for (const at of new Set([numbers[0]!, numbers[numbers.length >> 1]!, numbers.at(-1)!])) {
        const { kind, message, files, written } = await run(at)
        const what = `${at} of ${whole.written.length}: ${call}`
        expect.soft(written[at - 1], what).toBe(call)
        // What comes once the folder is in its place does not take it away again, and its mark is not needed.
        const isMark = call.startsWith('open ') && at > moved
        expect.soft(kind, what).toBe(isMark ? undefined : 'resource')
        if (!isMark) expect.soft(message, what).toContain('the disk is full; nothing was left behind')
        expect.soft(files, what).toEqual(at > moved ? whole.files : {})
      }
    }
  },
)

// Some containers forbid namespaces.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount)(
  'a real disk that is full at the first page of the file, in its middle and at its last page leaves nothing behind and is said',
  async () => {
    const { folder } = await finish(start(await mkdtemp(join(scratch, 'roomy-'))))
    const { size } = await stat(join(folder, 'weights'))
    const page = 4096
    // The lock and records of sources take some pages as well.
    for (const pages of [2, Math.ceil(size / page / 2), Math.ceil(size / page)]) {
      const disk = await mkdtemp(join(scratch, 'disk-'))
      const mount = `mount -t tmpfs -o size=${pages * page} tmpfs "$0" && exec "$@" "$0"`
      const output = execFileSync('unshare', ['-rm', 'sh', '-c', mount, disk, process.execPath, ...node, model], {
        encoding: 'utf8',
      })
      const { kind, message, left } = resultOf(output)
      expect(kind, `${pages} pages`).toBe('resource')
      expect(message).toContain('the disk is full; nothing was left behind')
      expect(left.filter((name: string) => !name.startsWith('sources'))).toEqual(['packed'])
    }
  },
)
