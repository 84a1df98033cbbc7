/** Sweeps with real workers on each backend: the same tables, kills, Ctrl-C, requeued tasks. Slurm and Redis are the test's own. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemons, startRedis, startSlurm } from './testing/cluster.ts'
import {
  bundledProgram,
  endsOf,
  killWorkers,
  type Program,
  type Running,
  statusOf,
  tables,
  workersOf,
} from './testing/contract.ts'
import { writeSweep } from './testing/tiny-sweep.ts'

let scratch: string
let program: Program
let slurm: Daemons
let redis: Daemons & { readonly url: string }
let file: string
let long: string
/** Tables of a sweep that one worker did and nobody disturbed. */
let expected: string[]
const at = (...names: string[]) => join(scratch, ...names)

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-backends-'))
  program = await bundledProgram(at('cache'))
  slurm = await startSlurm(at('slurm'), 4)
  redis = await startRedis(at('redis'))
  file = writeSweep(scratch, 'sweep.yaml', {
    axes: { p: [1, 2], 'learning-rate': [0.02, 0.01, 0.005, 1e-5] },
    base: { 'learning-rate': undefined },
    stop: { rule: 'halving', eta: 2, least: 2, within: ['p'] },
    seeds: { until: 1e-9, most: 3 },
  })
  long = writeSweep(scratch, 'long.yaml', { axes: { seed: [1, 2] }, base: { steps: 30_000 } })
  const { code, stderr } = await program.run(['sweep', file, '--out', at('expected'), '--workers', '1']).ended
  expect(code, stderr).toBe(0)
  expected = tables(at('expected'))
})
afterAll(async () => {
  await Promise.all([slurm?.stop(), redis?.stop(), program?.close()])
  rmSync(scratch, { recursive: true })
})

type Place = 'local' | 'slurm' | 'bullmq'
const on = (place: Place): string[] => ['--on', place, ...(place === 'bullmq' ? ['--redis', redis.url] : [])]
const envOf = (place: Place) => (place === 'slurm' ? slurm.env : {})
const sweep = (place: Place, out: string, yaml = file, workers = 3): Running =>
  program.run(['sweep', yaml, '--out', at(out), ...on(place), '--workers', String(workers)], envOf(place))

/** Waits until both long runs have taken some steps. */
async function underWay(out: string): Promise<void> {
  const runs = ['1-seed-1', '1-seed-2'].map((name) => at(out, 'runs', name, 'metrics.jsonl'))
  const steps = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length : 0)
  for (let tries = 0; tries < 6000 && runs.some((path) => steps(path) < 10); tries++) await sleep(100)
  expect(Math.min(...runs.map(steps))).toBeGreaterThanOrEqual(10)
}

describe.each(['local', 'slurm', 'bullmq'] as const)('on %s', (place) => {
  it('gives the tables of a single worker, though workers are killed', async () => {
    const out = `killed-${place}`
    const stop = new AbortController()
    const running = sweep(place, out)
    const kills = killWorkers(at(out), 4, 4, 5, stop.signal)
    const { code, stderr } = await running.ended
    stop.abort()
    expect(code, stderr).toBe(0)
    expect(await kills).toBe(4)
    expect(tables(at(out))).toEqual(expected)
    const { finished, folders } = endsOf(at(out))
    expect(new Set(finished).size).toBe(finished.length)
    expect(folders).toHaveLength(expected[1]!.trimEnd().split('\n').length - 1)
  })

  it('Ctrl-C saves every run and ends; the same command goes on from there, and a second one beside it is refused', async () => {
    const out = `paused-${place}`
    const first = sweep(place, out, long, 2)
    await underWay(out)
    const refused = await sweep(place, out, long, 2).ended
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/runs this sweep already; see parscale sweep status|works on this sweep already/)
    const other = await program.run(['sweep', file, '--out', at(out)]).ended
    expect(other.stderr).toMatch(/has another sweep/)
    first.child.kill('SIGINT')
    const paused = await first.ended
    expect(paused.code, paused.stderr).toBe(130)
    expect(paused.stderr).toContain('paused: every run is saved')
    expect(workersOf(at(out))).toEqual([])
    const before = await statusOf(program, at(out))
    expect(before).toMatchObject({ state: 'paused', on: place, counts: { running: 0 } })
    for (const { step } of before.runs) expect(step).toBeLessThan(30_000)

    const second = sweep(place, out, long, 2)
    for (let tries = 0; tries < 6000 && workersOf(at(out)).length < 2; tries++) await sleep(100)
    expect((await statusOf(program, at(out))).state).toBe('running')
    const cancelled = await program.run(['sweep', 'cancel', at(out)], envOf(place)).ended
    expect(cancelled.code, cancelled.stderr).toBe(0)
    const { code, stderr } = await second.ended
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('going on')
    for (const name of ['1-seed-1', '1-seed-2'])
      expect(readFileSync(at(out, 'logs', `${name}.log`), 'utf8')).toMatch(/going on after step \d+/)
  })
})

describe('Slurm', () => {
  const slurmed = (command: string, ...args: string[]) => execFileSync(command, args, { env: slurm.env, encoding: 'utf8' })

  it('a task that is requeued, or near its limit, goes on with the folder of its run', async () => {
    const out = 'requeued'
    const detached = await program.run(
      ['sweep', long, '--out', at(out), '--on', 'slurm', '--workers', '2', '--detach', '--json'],
      slurm.env,
    ).ended
    expect(detached.code, detached.stderr).toBe(0)
    const { job } = JSON.parse(detached.stdout)
    expect(detached.stderr).toContain(`submitted as job ${job}`)
    await underWay(out)
    const again = await sweep('slurm', out, long, 2).ended
    expect(again.stderr).toContain(`job ${job} of Slurm works on this sweep already`)
    slurmed('scancel', '--batch', '--signal=USR1', `${job}_1`) // what --signal sends before the limit
    slurmed('scontrol', 'requeue', `${job}_2`) // as after a node has failed
    const log = (name: string) => readFileSync(at(out, 'logs', `${name}.log`), 'utf8')
    const wentOn = () => ['1-seed-1', '1-seed-2'].every((name) => /going on after step [1-9]/.test(log(name)))
    for (let tries = 0; tries < 6000 && !wentOn(); tries++) await sleep(100)
    expect(wentOn(), slurmed('squeue', '--array')).toBe(true)
    expect(slurmed('squeue', '--noheader', '--array', '--format=%i %T')).toMatch(new RegExp(`${job}_1 RUNNING`))
    // The one that was signalled had saved its run where it was, between checkpoints.
    const { code, stderr } = await program.run(['sweep', 'cancel', at(out)], slurm.env).ended
    expect(code, stderr).toBe(0)
  })

  it('says what sbatch says of an option that it does not know', async () => {
    const wrong = writeSweep(scratch, 'wrong.yaml', { slurm: { partition: 'nowhere' } })
    const { code, stderr } = await sweep('slurm', 'wrong', wrong, 1).ended
    expect(code).toBe(2)
    expect(stderr).toMatch(/--on slurm: sbatch failed: .*invalid partition/i)
  })
})

describe('Redis', () => {
  it('is refused where it may evict jobs, with what to do', async () => {
    const evicting = await startRedis(at('evicting'), 'allkeys-lru')
    try {
      const args = ['sweep', file, '--out', at('evicted'), '--on', 'bullmq', '--redis', evicting.url]
      const { code, stderr } = await program.run(args).ended
      expect(stderr).toMatch(/its maxmemory-policy is allkeys-lru, .* set it: redis-cli config set maxmemory-policy noeviction/)
      expect(code).toBe(2)
      expect(existsSync(at('evicted'))).toBe(false)
    } finally {
      await evicting.stop()
    }
  })

  it('may lose everything that it has: the journal knows what is left', async () => {
    const out = 'flushed'
    const running = sweep('bullmq', out)
    for (let tries = 0; tries < 6000 && workersOf(at(out)).length === 0; tries++) await sleep(20)
    execFileSync('redis-cli', ['-u', redis.url, 'flushall'], { stdio: 'ignore' })
    const { code, stderr } = await running.ended
    expect(code, stderr).toBe(0)
    expect(tables(at(out))).toEqual(expected)
    // And keeps nothing of a sweep that is done.
    expect(execFileSync('redis-cli', ['-u', redis.url, 'keys', '*flushed*'], { encoding: 'utf8' }).trim()).toBe('')
  })

  it('may go away: Ctrl-C pauses all the same, and another one goes on', async () => {
    const out = 'away'
    const own = await startRedis(at('own'))
    const args = ['sweep', long, '--out', at(out), '--on', 'bullmq', '--workers', '2']
    const first = program.run([...args, '--redis', own.url])
    await underWay(out)
    await own.stop()
    first.child.kill('SIGINT')
    const { code, stderr } = await first.ended
    expect(code, stderr).toBe(130)
    expect(workersOf(at(out))).toEqual([])
    const second = program.run([...args, '--redis', redis.url])
    for (let tries = 0; tries < 6000 && workersOf(at(out)).length < 2; tries++) await sleep(100)
    expect(workersOf(at(out))).toHaveLength(2)
    second.child.kill('SIGINT')
    expect((await second.ended).code).toBe(130)
  })

  it('gives jobs to workers that others start', async () => {
    const out = 'elsewhere'
    const running = sweep('bullmq', out, file, 0)
    while (!existsSync(at(out, 'journal.jsonl'))) await sleep(50)
    const workers = [1, 2].map(() => program.run(['sweep', 'work', at(out), '--redis', redis.url]))
    const { code, stderr } = await running.ended
    expect(code, stderr).toBe(0)
    for (const worker of workers) expect((await worker.ended).code).toBe(0)
    expect(tables(at(out))).toEqual(expected)
  })
})
