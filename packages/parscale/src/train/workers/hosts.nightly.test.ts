/**
 * Several computers, as namespaces: workers on each, with and without a disk that all see, end with the bits of one process; what has to be
 * there for all is named before work begins; and the lock of a computer that is gone is taken over after its time, not before.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { endsOf, linesOf, tables } from '../../sweep/testing/contract.ts'
import { writeSweep } from '../../sweep/testing/tiny-sweep.ts'
import { type Hosts, startHosts } from '../../testing/hosts.ts'
import { type Ended, isRunning, outcomeOf, type WorkerRuns, workerRuns } from '../../testing/worker-runs.ts'

const steps = 60
let runs: WorkerRuns
let hosts: Hosts
/** Data are where each computer has its own disk. */
const flags = () => runs.recipes.pretrain.map((word) => (word === runs.at('text.txt') ? join(hosts.disk, 'text.txt') : word))
const args = () => [...flags(), '--steps', String(steps), '--checkpoint-every', '7', '--evaluate-every', '0']
/** A cache of its own for each, as it lies on its disk. */
const env = () => ({ PARSCALE_CACHE: join(hosts.disk, 'cache') })
const onAll = (words: readonly string[]) => hosts.names.map(() => ({ workers: 1, args: words, env: env() }))

beforeAll(async () => {
  runs = await workerRuns()
  hosts = startHosts(runs.at(), 3)
  copyFileSync(runs.at('text.txt'), join(hosts.disk, 'text.txt'))
  const { code, stderr } = await runs.train(1, [...args(), '--out', runs.at('alone')])
  expect(code, stderr).toBe(0)
}, 240_000)
afterAll(() => {
  hosts?.remove()
  runs?.remove()
})
beforeEach(() => {
  for (const name of hosts.names) {
    rmSync(hosts.diskOf(name), { recursive: true, force: true })
    mkdirSync(hosts.diskOf(name))
    copyFileSync(runs.at('text.txt'), join(hosts.diskOf(name), 'text.txt'))
  }
})

/** One command on one computer. */
function start(name: string, words: readonly string[]) {
  const [first, ...rest] = [...hosts.on(name), process.execPath, runs.program, ...words]
  const child = spawn(first!, rest, { env: { ...process.env, ...env() }, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text
    })
  return { child, said, ended: once(child, 'close').then(([code]): Ended => ({ code: code as number | null, ...said })) }
}

it('3 computers that see one folder of runs: the bits of one process', async () => {
  const run = runs.at('shared')
  const { code, stderr } = await runs.start(onAll([...args(), '--out', run]), hosts.mpirun).ended
  expect(code, stderr).toBe(0)
  expect(stderr).toContain('3 workers on 3 computers, ')
  expect(outcomeOf(run, steps)).toEqual(outcomeOf(runs.at('alone'), steps))
  const { starts } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))
  expect(starts[0].hosts).toEqual(hosts.names)
})

it('nothing shared but the name of the data: the first one has the run, and a death elsewhere ends all', async () => {
  const run = join(hosts.disk, 'run')
  const began = performance.now()
  const first = runs.start(onAll([...args(), '--out', run]), hosts.mpirun)
  const pids = await first.workers()
  const startMs = performance.now() - began
  const log = join(hosts.diskOf('node1'), 'run', 'metrics.jsonl')
  while (!existsSync(log) || !readFileSync(log, 'utf8').includes('"step":12,')) await sleep(5)
  process.kill(pids.find((pid) => hosts.nameOf(pid) === 'node3')!, 'SIGKILL')
  const killed = performance.now()
  const { code, stderr } = await first.ended
  while (pids.some(isRunning)) await sleep(5)
  // On a slow or busy machine, as long as their start takes ten times: all that hangs, hangs for ever.
  expect(performance.now() - killed).toBeLessThan(Math.max(5_000, 10 * startMs))
  expect(code).not.toBe(0)
  expect(stderr).toMatch(/on node .* exited on signal 9/)
  const again = await runs.start(onAll(['--resume', run, '--threads', '1']).slice(0, 2), hosts.mpirun).ended
  expect(again.code, again.stderr).toBe(0)
  expect(again.stderr).toContain('going on after step 7')
  expect(outcomeOf(join(hosts.diskOf('node1'), 'run'), steps)).toEqual(outcomeOf(runs.at('alone'), steps))
  for (const name of ['node2', 'node3']) expect(existsSync(join(hosts.diskOf(name), 'run')), name).toBe(false)
})

it.each([
  ['are not there', (path: string) => rmSync(path), /worker 1 of 3 on node2: .*text\.txt/],
  [
    'are others',
    (path: string) => writeFileSync(path, readFileSync(path, 'utf8').replaceAll('whales', 'sharks')),
    /the workers disagree: .* \(on node2\)/,
  ],
])('data that %s on one computer are named before work begins', async (_, spoil, text) => {
  spoil(join(hosts.diskOf('node2'), 'text.txt'))
  const { code, stdout, stderr } = await runs.start(onAll([...args(), '--out', runs.at('refused')]), hosts.mpirun).ended
  expect(stderr).toMatch(text)
  expect([code, stdout]).toEqual([2, ''])
  expect(existsSync(runs.at('refused'))).toBe(false)
})

it("another computer's run is refused, also when its process has died; a minute later it goes on", async () => {
  const run = runs.at('held')
  const holder = start('node1', ['train', ...args(), '--out', run])
  while (!existsSync(join(run, 'checkpoints', 'step-00000014', 'complete'))) await sleep(5)
  const words = ['train', '--resume', run, '--threads', '1']
  const refused = await start('node2', words).ended
  expect(refused.code, refused.stderr).toBe(2)
  expect(refused.stderr).toMatch(/process \d+ on node1/)
  holder.child.kill('SIGKILL') // and with it, all that ran there
  await holder.ended
  const died = performance.now()
  const early = await start('node2', words).ended
  expect(early.code, early.stderr).toBe(2)
  expect(early.stderr).toMatch(/process \d+ on node1/)
  let last = early
  while (last.code === 2) {
    await sleep(2_000)
    last = await start('node2', words).ended
  }
  expect(last.code, last.stderr).toBe(0)
  expect((performance.now() - died) / 1000).toBeGreaterThan(54)
  expect(outcomeOf(run, steps)).toEqual(outcomeOf(runs.at('alone'), steps))
})

it('a sweep whose computer is gone is refused while it may be there, and ends with the same table on another', async () => {
  const file = writeSweep(runs.at(), 'sweep.yaml', { axes: { p: [1, 2], seed: [1, 2, 3] } })
  const sweep = (out: string) => ['sweep', file, '--out', runs.at(out), '--workers', '1']
  const whole = await start('node1', sweep('sweep-whole')).ended
  expect(whole.code, whole.stderr).toBe(0)
  const first = start('node1', sweep('sweep'))
  while (linesOf(runs.at('sweep')) < 6) await sleep(5)
  // A worker more from another computer, beside it; both end with the first one's.
  const beside = start('node3', ['sweep', 'work', runs.at('sweep')])
  await sleep(3_000)
  for (const { child } of [first, beside]) child.kill('SIGKILL')
  await Promise.all([first.ended, beside.ended])
  let last = await start('node2', sweep('sweep')).ended
  for (let times = 0; last.code !== 0 && times < 40; times++) {
    expect(last.stderr).toMatch(/ on node[13]/)
    await sleep(2_000)
    last = await start('node2', sweep('sweep')).ended
  }
  expect(last.code, last.stderr).toBe(0)
  expect(tables(runs.at('sweep'))).toEqual(tables(runs.at('sweep-whole')))
  const { finished } = endsOf(runs.at('sweep'))
  expect(new Set(finished).size).toBe(finished.length)
  expect(endsOf(runs.at('sweep'))).toEqual(endsOf(runs.at('sweep-whole')))
})
