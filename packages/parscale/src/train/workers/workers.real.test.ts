/** `mpirun -n N parscale train`: the bits of one process, one voice, and an end for all when one ends. Oversubscribed: more workers than cores. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isRunning, lines, outcomeOf, type WorkerRuns, whyNoWorkers, workerRuns } from '../../testing/worker-runs.ts'

const reason = whyNoWorkers()
if (reason) process.stderr.write(`\nTRAINING BY SEVERAL WORKERS IS NOT TESTED: ${reason}\n\n`)

describe.skipIf(reason)('workers', () => {
  let runs: WorkerRuns
  beforeAll(async () => {
    runs = await workerRuns()
  })
  afterAll(() => runs?.remove())

  it.each(['pretrain', 'recycle', 'sft'] as const)('%s: 1, 2, 4 and 8 workers end with the same bits', async (recipe) => {
    const steps = 5
    const args = [...runs.recipes[recipe], '--steps', String(steps), '--checkpoint-every', '2']
    const run = (workers: number) => runs.at(`${recipe}-${workers}`)
    const alone = await runs.train(1, [...args, '--out', run(1)])
    expect(alone.code, alone.stderr).toBe(0)
    for (const workers of [2, 4, 8]) {
      const { code, stdout, stderr } = await runs.train(workers, [...args, '--out', run(workers)])
      expect(code, stderr).toBe(0)
      expect(outcomeOf(run(workers), steps), `${workers} workers`).toEqual(outcomeOf(run(1), steps))
      // One voice, which says how many there were.
      expect(stdout.match(/of training; held-out loss/g)).toHaveLength(1)
      expect(stderr.match(/^step 5: held-out loss/gm)).toHaveLength(1)
      expect(stderr).toContain(`${workers} workers on this computer, `)
      const { starts } = JSON.parse(readFileSync(join(run(workers), 'run.json'), 'utf8'))
      expect(starts).toMatchObject([{ step: 0, workers, threads: 1 }])
      expect(readdirSync(join(run(workers), 'checkpoints')).sort()).toEqual(readdirSync(join(run(1), 'checkpoints')).sort())
    }
  })

  it('3 workers with 7 passes, two stages with other parameters: the bits of one', async () => {
    const [, ...flags] = runs.recipes.pretrain
    const args = ['two-stage', ...flags, '--micro-batches', '7', '--steps', '3', '--second-steps', '3']
    for (const workers of [1, 3]) {
      const { code, stderr } = await runs.train(workers, [...args, '--out', runs.at(`stages-${workers}`)])
      expect(code, stderr).toBe(0)
    }
    expect(outcomeOf(runs.at('stages-3'), 6)).toEqual(outcomeOf(runs.at('stages-1'), 6))
  })

  describe('a run that stops', () => {
    const steps = 150
    const args = () => [...runs.recipes.pretrain, '--steps', String(steps), '--checkpoint-every', '7', '--evaluate-every', '0']
    beforeAll(async () => {
      const { code, stderr } = await runs.train(1, [...args(), '--out', runs.at('undisturbed')])
      expect(code, stderr).toBe(0)
    })

    const reached = async (run: string, step: number) => {
      for (;;) {
        if (
          existsSync(join(run, 'metrics.jsonl')) &&
          readFileSync(join(run, 'metrics.jsonl'), 'utf8').includes(`"step":${step},`)
        )
          return
        await sleep(5)
      }
    }

    it('by the death of a worker ends within 5 seconds with a message; with other numbers of workers it goes on to the same bits', async () => {
      const run = runs.at('killed')
      for (const [i, workers] of [4, 2, 8].entries()) {
        const began = performance.now()
        const { workers: pids, ended } = runs.start([
          { workers, args: i === 0 ? [...args(), '--out', run] : ['--resume', run, '--threads', '1'] },
        ])
        const victims = await pids()
        const startMs = performance.now() - began
        await reached(run, 10 + 20 * i)
        process.kill(victims.at(i === 1 ? 0 : -1)!, 'SIGKILL')
        const killed = performance.now()
        const { code, stderr } = await ended
        while (victims.some(isRunning)) await sleep(5)
        // On a slow or busy machine, as long as their start takes ten times: all that hangs, hangs for ever.
        expect(performance.now() - killed).toBeLessThan(Math.max(5_000, 10 * startMs))
        expect(code).not.toBe(0)
        expect(stderr).toMatch(/exited on signal 9/)
      }
      const { code, stderr } = await runs.train(1, ['--resume', run, '--threads', '1'])
      expect(code, stderr).toBe(0)
      expect(outcomeOf(run, steps)).toEqual(outcomeOf(runs.at('undisturbed'), steps))
      const { starts } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))
      expect(starts.map(({ workers }: { workers: number }) => workers)).toEqual([4, 2, 8, 1])
    })

    it('by a signal to any worker stops them all at one step, with a checkpoint', async () => {
      const run = runs.at('stopped')
      const { workers: pids, ended } = runs.start([{ workers: 3, args: [...args(), '--out', run] }])
      const [, second] = await pids()
      await reached(run, 20)
      process.kill(second!, 'SIGTERM')
      const { code, stderr } = await ended
      expect(code).toBe(130)
      expect(stderr).toMatch(/^stopped after step \d+ of 150; go on with: parscale train --resume/m)
      const { step } = lines(run, 'metrics.jsonl').at(-1)!
      expect(existsSync(join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`, 'complete'))).toBe(true)
      expect(existsSync(join(run, 'lock'))).toBe(false)
      const more = await runs.train(2, ['--resume', run, '--threads', '1'])
      expect(more.code, more.stderr).toBe(0)
      expect(more.stderr).toContain(`going on after step ${step}\n`)
      expect(outcomeOf(run, steps)).toEqual(outcomeOf(runs.at('undisturbed'), steps))
    })
  })

  describe('named before work begins', () => {
    const refused = async (apps: Parameters<WorkerRuns['start']>[0], code: number, text: string) => {
      const found = await runs.start(apps).ended
      expect(found.stderr).toContain(text)
      expect(found.stderr.split(text)).toHaveLength(2)
      expect(found.code, found.stderr).toBe(code)
      expect(found.stdout).toBe('')
      expect(existsSync(runs.at('refused'))).toBe(false)
    }
    const args = (...more: string[]) => [...runs.recipes.pretrain, '--steps', '3', ...more, '--out', runs.at('refused')]

    it('workers that disagree on the configuration', () =>
      refused(
        [
          { workers: 2, args: args() },
          { workers: 1, args: args('--learning-rate', '2e-2') },
        ],
        2,
        'the workers disagree: configuration.stages.0.learningRate is 0.02 with worker 2 (on ',
      ))

    it('a worker that cannot read what the others can', () =>
      refused(
        [
          { workers: 1, args: args() },
          { workers: 1, args: args(), env: { PARSCALE_CACHE: '/dev/null/nowhere' } },
        ],
        2,
        'worker 1 of 2 on ',
      ))

    it('fewer passes than workers', () =>
      refused(
        [{ workers: 2, args: args('--micro-batches', '1', '--batch-size', '8') }],
        2,
        '2 workers share the passes of a step, but there is 1 (--micro-batches); give --micro-batches 2 and --batch-size 4, which makes the same batch, or start fewer workers',
      ))

    it('a flag that there is not, once', () => refused([{ workers: 3, args: args('--nonsense') }], 2, 'train has no --nonsense'))
  })
})
