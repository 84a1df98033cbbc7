/**
 * Runs that are killed while they write, and disks that are full: real processes, real signals, a real small disk. The
 * process writes checkpoints without pause, so that nearly every moment lies inside one.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createRandom } from '../../random.ts'
import { suspendWhere } from '../../testing/suspend.ts'
import { RunFolder, readRun } from './run-folder.ts'
import { checkpointAt } from './testing/training-checkpoints.ts'

let scratch: string
let path: string
let runs = 0

// Bundles start several times faster than sources.
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  const entryPoints = ['write-run', 'fill-disk'].map((name) => fileURLToPath(new URL(`testing/${name}.ts`, import.meta.url)))
  const outExtension = { '.js': '.mjs' }
  await build({ entryPoints, bundle: true, platform: 'node', format: 'esm', outdir: scratch, outExtension, logLevel: 'error' })
})
afterAll(() => rm(scratch, { recursive: true }))
beforeEach(() => {
  path = join(scratch, `run-${runs++}`)
})

const program = (name: string) => join(scratch, `${name}.mjs`)
const checkpointNames = (run: string) => readdir(join(run, 'checkpoints')).catch(() => [])

async function startWriter(mode: 'create' | 'open'): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program('write-run'), path, mode, '1e9'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout!, 'data')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

it('resumes after each of 50 kills, and ends as if there had been none', async () => {
  const random = createRandom(5)
  let last = 0
  let halfWritten = 0
  for (let round = 0; round < 50; round++) {
    const child = await startWriter(round === 0 ? 'create' : 'open')
    // By turns at any moment, and where a checkpoint is half-written.
    const isHalfWritten = async () => (await checkpointNames(path)).some((name) => name.includes('.partial-'))
    if (round % 2 === 0) await sleep(random.uniform() * 60)
    else await suspendWhere(child, isHalfWritten)
    await kill(child)
    halfWritten += Number((await checkpointNames(path)).some((name) => name.includes('.partial-')))

    const run = await RunFolder.open(path) // the dead process's lock does not hold
    const found = await run.resume((message) => expect(message).toContain('complete is missing: the checkpoint was not finished'))
    const step = found?.step ?? 0
    expect(step).toBeGreaterThanOrEqual(last)
    if (found) expect(found).toEqual({ ...checkpointAt(step, Math.cos(step)), logBytes: expect.anything() })
    expect((await checkpointNames(path)).filter((name) => !/^step-\d{8}$/.test(name))).toEqual([])
    const lines = (await readFile(join(path, 'metrics.jsonl'), 'utf8')).split('\n').slice(0, -1)
    expect(lines.map((line) => JSON.parse(line).step)).toEqual(Array.from({ length: step }, (_, i) => i + 1))
    await run.close()
    last = step
  }
  console.log(`${last} checkpoints were written; ${halfWritten} of 50 kills left one half-written`)
  expect(halfWritten).toBeGreaterThanOrEqual(25)

  const whole = join(scratch, 'whole')
  execFileSync(process.execPath, [program('write-run'), path, 'open', String(last + 3)])
  execFileSync(process.execPath, [program('write-run'), whole, 'create', String(last + 3)])
  expect(await filesOf(path)).toEqual(await filesOf(whole))
})

/** Every file of every checkpoint. */
async function filesOf(run: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const step of await checkpointNames(run)) {
    for (const name of await readdir(join(run, 'checkpoints', step))) {
      files[`${step}/${name}`] = await readFile(join(run, 'checkpoints', step, name), 'latin1')
    }
  }
  return files
}

it('of two processes, the second is told who the first is', async () => {
  const child = await startWriter('create')
  await expect(RunFolder.open(path)).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringContaining(`process ${child.pid} on ${hostname()} is training here`),
  })
  expect((await readRun(path)).config).toEqual({ seed: 1 })
  await kill(child)
  await (await RunFolder.open(path)).close()
})

// Some containers forbid namespaces.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount)('a full disk stops a run with a message and leaves the checkpoints before intact', async () => {
  const disk = await mkdtemp(join(scratch, 'disk-'))
  const mounting = ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=160k tmpfs "$0" && exec node "$1" "$0/run"']
  const { saved, stopped, names, latest } = JSON.parse(
    execFileSync('unshare', [...mounting, disk, program('fill-disk')], { encoding: 'utf8' }),
  )
  expect(saved).toBeGreaterThan(2)
  const folder = (step: number) => `step-${String(step).padStart(8, '0')}`
  expect(stopped).toEqual({
    kind: 'resource',
    message:
      `${join(disk, 'run', 'checkpoints', folder(saved + 1))}: the disk is full; the checkpoint takes 476 bytes. ` +
      'It was not saved; the ones before it are intact. Free some space and go on with --resume',
  })
  expect(names).toEqual(Array.from({ length: saved }, (_, i) => folder(i + 1)))
  expect(latest).toBe(saved)
})
