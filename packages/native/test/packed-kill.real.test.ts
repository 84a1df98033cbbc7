/** Packed files whose makers are killed, or have no room: real processes, real signals, a real small disk. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRandom } from '@parscale/core/internal'
import { castStream, type TensorStream } from '@parscale/core/internal/checkpoint'
import { writeModelFolder } from '@parscale/core/internal/node'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { resolveShape } from '../../parscale/src/bench/model-shape.ts'
import { syntheticContents } from '../../parscale/src/bench/synthetic-model.ts'

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
}, 60_000)
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
  let halfWritten = 0
  for (let round = 0; round < 15; round++) {
    const child = start(cache)
    const exit = once(child, 'exit') // asked for now: it may come before it is killed
    await once(child.stdout!, 'data')
    await sleep(random.uniform() * duration)
    child.kill('SIGKILL')
    await exit
    const names = await readdir(packed).catch((): string[] => [])
    halfWritten += Number(names.some((name) => name.includes('.partial-')))
    if (!names.includes(basename(expected))) continue
    expect(await filesOf(join(packed, basename(expected)))).toEqual(whole)
    await rm(join(packed, basename(expected)), { recursive: true })
  }
  console.log(`${halfWritten} of 15 kills left a folder half-written`)
  expect(halfWritten).toBeGreaterThan(0)
  const { folder } = await finish(start(cache))
  expect(await filesOf(folder)).toEqual(whole)
  expect(await readdir(packed)).toEqual([basename(expected)])
}, 120_000)

it('of several at once one makes it, and the others use it', async () => {
  const cache = join(scratch, 'shared')
  const results = await Promise.all([start(cache), start(cache), start(cache)].map(finish))
  expect(new Set(results.map(({ folder }) => folder)).size).toBe(1)
  expect(await readdir(join(cache, 'packed'))).toEqual([basename(results[0]!.folder)])
}, 60_000)

// Some containers forbid namespaces.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount).each(['1m', '20m'])(
  'a disk of %s that is full leaves nothing behind and is said',
  async (size) => {
    const disk = await mkdtemp(join(scratch, 'disk-'))
    const mount = `mount -t tmpfs -o size=${size} tmpfs "$0" && exec "$@" "$0"`
    const output = execFileSync('unshare', ['-rm', 'sh', '-c', mount, disk, process.execPath, ...node, model], {
      encoding: 'utf8',
    })
    const { kind, message, left } = resultOf(output)
    expect(kind).toBe('resource')
    expect(message).toContain('the disk is full; nothing was left behind')
    expect(left.filter((name: string) => !name.startsWith('sources'))).toEqual(['packed'])
  },
  60_000,
)
