/** `srun -n N parscale train`, with Slurm's daemons of its own: the bits of one process, an end for all when one ends, and no worlds of one. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Daemons, startSlurm, withPmix } from '../../sweep/testing/cluster.ts'
import { isRunning, type Launcher, outcomeOf, type WorkerRuns, workerRuns } from '../../testing/worker-runs.ts'

const steps = 60
let runs: WorkerRuns
let slurm: Daemons
let within: string[]
const srun = (mpi: string): Launcher => ({
  command: [...within, 'srun', `--mpi=${mpi}`, '--kill-on-bad-exit=1'],
  env: slurm.env,
})
const args = () => [...runs.recipes.pretrain, '--steps', String(steps), '--checkpoint-every', '7', '--evaluate-every', '0']

beforeAll(async () => {
  runs = await workerRuns()
  within = withPmix(runs.at())
  slurm = await startSlurm(runs.at('slurm'), 4, within)
  const { code, stderr } = await runs.train(1, [...args(), '--out', runs.at('alone')])
  expect(code, stderr).toBe(0)
}, 240_000)
afterAll(async () => {
  await slurm?.stop()
  runs?.remove()
})

it('2 and 4 workers end with the bits of one', async () => {
  for (const workers of [2, 4]) {
    const run = runs.at(`srun-${workers}`)
    const { code, stdout, stderr } = await runs.train(workers, [...args(), '--out', run], srun('pmix'))
    expect(code, stderr).toBe(0)
    expect(outcomeOf(run, steps), `${workers} workers`).toEqual(outcomeOf(runs.at('alone'), steps))
    expect(stdout.match(/of training; held-out loss/g)).toHaveLength(1)
    expect(stderr).toContain(`${workers} workers on this computer, `)
    const { starts } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))
    expect(starts).toMatchObject([{ step: 0, workers, threads: 1 }])
  }
}, 240_000)

it('a task that is killed ends the others within 5 seconds with a message; with another number they go on to the same bits', async () => {
  const run = runs.at('killed')
  for (const [i, workers] of [4, 2, 3].entries()) {
    const app = { workers, args: i === 0 ? [...args(), '--out', run] : ['--resume', run, '--threads', '1'] }
    const began = performance.now()
    const { workers: pids, ended } = runs.start([app], srun('pmix'))
    const victims = await pids()
    const startMs = performance.now() - began
    const reached = `"step":${8 + 15 * i},`
    while (!existsSync(join(run, 'metrics.jsonl')) || !readFileSync(join(run, 'metrics.jsonl'), 'utf8').includes(reached))
      await sleep(5)
    const victim = victims.at(i === 1 ? 0 : -1)!
    process.kill(victim, 'SIGKILL')
    const killed = performance.now()
    const { code, stderr } = await ended
    while (victims.some(isRunning)) await sleep(5)
    // On a slow or busy machine, as long as their start takes ten times: all that hangs, hangs for ever.
    expect(performance.now() - killed).toBeLessThan(Math.max(5_000, 10 * startMs))
    expect(code).not.toBe(0)
    expect(stderr).toMatch(
      new RegExp(`worker \\d of ${workers} on .* \\(process ${victim}\\) is gone, and the others end|task \\d: Killed`),
    )
  }
  const { code, stderr } = await runs.train(1, ['--resume', run, '--threads', '1'])
  expect(code, stderr).toBe(0)
  expect(outcomeOf(run, steps)).toEqual(outcomeOf(runs.at('alone'), steps))
  const { starts } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))
  expect(starts.map(({ workers }: { workers: number }) => workers)).toEqual([4, 2, 3, 1])
}, 240_000)

it.each([
  ['none', 'srun has started 2 tasks that cannot reach each other'],
  ['pmi2', 'srun has started 2 tasks by PMI-2, which this Open MPI does not speak'],
])('tasks that would be worlds of one are refused before work begins: --mpi=%s', async (mpi, text) => {
  const { code, stdout, stderr } = await runs.train(2, [...args(), '--out', runs.at('refused')], srun(mpi))
  expect(stderr).toContain(text)
  expect(stderr).toContain('start them with srun --mpi=pmix')
  // Of the task that failed first, or of one that srun has ended with it.
  expect([2, 130]).toContain(code)
  expect(stdout).toBe('')
  expect(existsSync(runs.at('refused'))).toBe(false)
})

it('a launcher of another MPI, whose ranks Open MPI does not know', async () => {
  const { code, stdout, stderr } = await runs.start([
    { workers: 1, args: [...args(), '--out', runs.at('refused')], env: { PMI_RANK: '0', PMI_SIZE: '4' } },
  ]).ended
  expect(stderr).toContain('mpiexec has started worker 0 of 4, but Open MPI knows it as 0 of 1: they cannot reach each other')
  expect([code, stdout]).toEqual([2, ''])
  expect(existsSync(runs.at('refused'))).toBe(false)
})

it('one process in a job of several tasks says that it is alone', async () => {
  const { code, stderr } = await runs.start([
    { workers: 1, args: [...args(), '--dry-run'], env: { SLURM_JOB_ID: '7', SLURM_PROCID: '0', SLURM_NTASKS: '4' } },
  ]).ended
  expect(code, stderr).toBe(0)
  expect(stderr).toContain('this job of Slurm has 4 tasks, and this process is alone; srun --mpi=pmix starts a worker for each')
})
