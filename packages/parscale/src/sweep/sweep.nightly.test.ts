/**
 * 200 runs on each backend, with 50 kills of workers and a disk that is full for a while: the same tables, none lost or doubled.
 * The folder is a small file system of its own, for which the test mounts a tmpfs (root, or sudo that asks nothing).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Daemons, startRedis, startSlurm } from './testing/cluster.ts'
import { bundledProgram, endsOf, killWorkers, linesOf, type Program, type Running, tables } from './testing/contract.ts'
import { writeSweep } from './testing/tiny-sweep.ts'

const kills = 50
const runs = 200

let scratch: string
let program: Program
let slurm: Daemons
let redis: Daemons & { readonly url: string }
let file: string
let expected: string[]
const at = (...names: string[]) => join(scratch, ...names)
const asRoot = (command: string, ...args: string[]) =>
  process.getuid!() === 0
    ? execFileSync(command, args, { stdio: 'pipe' })
    : execFileSync('sudo', ['-n', command, ...args], { stdio: 'pipe' })

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-nightly-sweep-'))
  program = await bundledProgram(at('cache'))
  slurm = await startSlurm(at('slurm'), 4)
  redis = await startRedis(at('redis'))
  file = writeSweep(scratch, 'sweep.yaml', {
    axes: { p: [1, 2], 'learning-rate': [0.02, 0.01, 0.005, 0.002], seed: Array.from({ length: runs / 8 }, (_, i) => i) },
    base: { 'learning-rate': undefined, keep: 1 },
    stop: { rule: 'halving', eta: 2, least: 2, within: ['p'] },
  })
  const { code, stderr } = await program.run(['sweep', file, '--out', at('expected'), '--workers', '1']).ended
  expect(code, stderr).toBe(0)
  expected = tables(at('expected'))
})
afterAll(async () => {
  await Promise.all([slurm?.stop(), redis?.stop(), program?.close()])
  rmSync(scratch, { recursive: true })
})

it.each(['local', 'slurm', 'bullmq'] as const)(`${runs} runs on %s, ${kills} kills, a full disk`, async (place) => {
  const disk = at(`disk-${place}`)
  mkdirSync(disk)
  asRoot('mount', '-t', 'tmpfs', '-o', `size=256m,uid=${process.getuid!()},mode=755`, 'tmpfs', disk)
  const started: Running[] = []
  try {
    const out = join(disk, 'sweep')
    const args = [
      'sweep',
      file,
      '--out',
      out,
      '--on',
      place,
      '--workers',
      '4',
      ...(place === 'bullmq' ? ['--redis', redis.url] : []),
    ]
    const sweep = (): Running => {
      started.push(program.run(args, place === 'slurm' ? slurm.env : {}))
      return started.at(-1)!
    }

    // Half of the kills, then no room for anything. Whoever notices that ends; what is written is whole.
    const first = sweep()
    let killed = await killWorkers(out, kills / 2, 8, 1, new AbortController().signal)
    const before = linesOf(out)
    const ballast = join(disk, 'ballast')
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k'], { stdio: 'ignore' }) // until nothing more goes in
    const full = await first.ended
    expect(full.code, full.stderr).not.toBe(0)
    expect(full.stderr).toMatch(
      place === 'slurm' ? /no worker runs any more, and \d+ runs are left/ : /the disk is full; .*run parscale sweep again/,
    )
    if (place !== 'slurm') expect(full.code).toBe(4)
    rmSync(ballast)

    // The rest of the kills; whatever ends before them is begun again.
    const stop = new AbortController()
    const killing = killWorkers(out, kills - killed, 8, 2, stop.signal)
    let last = await sweep().ended
    for (let times = 0; last.code !== 0 && times < 5; times++) last = await sweep().ended
    stop.abort()
    killed += await killing
    expect(last.code, last.stderr).toBe(0)
    console.log(`${place}: ${killed} kills; the disk was full after ${before} lines of ${linesOf(out)}`)
    expect(killed).toBe(kills)

    expect(tables(out)).toEqual(expected)
    const { finished, folders } = endsOf(out)
    expect(new Set(finished).size).toBe(finished.length)
    expect(finished).toEqual(endsOf(at('expected')).finished)
    expect(folders).toEqual(endsOf(at('expected')).folders)
    expect(folders).toHaveLength(runs)
  } finally {
    for (const { child } of started) child.kill('SIGTERM')
    for (let tries = 0; tries < 50; tries++) {
      try {
        asRoot('umount', disk)
        break
      } catch {
        await sleep(200) // workers that are about to end
      }
    }
  }
})
