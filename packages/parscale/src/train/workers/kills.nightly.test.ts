/** A worker dies at 100 random moments, each time the run goes on with another number of workers: the bits of a run that was left alone. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lines, outcomeOf, type WorkerRuns, whyNoWorkers, workerRuns } from '../../testing/worker-runs.ts'

const reason = whyNoWorkers()
if (reason) process.stderr.write(`\nKILLS OF WORKERS ARE NOT TESTED: ${reason}\n\n`)

const kills = Number(process.env.PARSCALE_KILLS ?? 100)
const random = createRandom(21)
const records = (run: string): number => (existsSync(join(run, 'metrics.jsonl')) ? lines(run, 'metrics.jsonl').length : 0)

describe.skipIf(reason)('workers', () => {
  let runs: WorkerRuns
  beforeAll(async () => {
    runs = await workerRuns()
  }, 240_000)
  afterAll(() => runs.remove())

  it(`die ${kills} times, and lose nothing`, async () => {
    const steps = 600
    const args = [...runs.recipes.pretrain, '--steps', String(steps), '--evaluate-every', '50']
    const [whole, run] = [runs.at('whole'), runs.at('run')]
    const undisturbed = await runs.train(1, [...args, '--checkpoint-every', '0', '--out', whole])
    expect(undisturbed.code, undisturbed.stderr).toBe(0)
    const slowest = { seconds: 0 }
    let [done, finishedAgain] = [0, 0]
    while (done < kills) {
      const workers = [2, 2, 3, 4, 8][random.below(5)]!
      const begun = existsSync(join(run, 'config.json'))
      const started = runs.start([
        { workers, args: begun ? ['--resume', run, '--threads', '1'] : [...args, '--checkpoint-every', '1', '--out', run] },
      ])
      const pids = await started.workers()
      let over = false
      void started.ended.then(() => {
        over = true
      })
      // Anywhere, or within the training: some records after it has gone on, which lie between checkpoints and in the middle of them.
      if (done % 5 === 0) await sleep(random.uniform() * 1500)
      else {
        const before = records(run)
        const wanted = random.below(8)
        while (!over && (records(run) === before || records(run) - before < wanted)) await sleep(2)
        await sleep(random.uniform() * 20)
      }
      try {
        if (!over) process.kill(pids[random.below(pids.length)]!, 'SIGKILL')
      } catch {} // it has just ended
      const killed = performance.now()
      const { code, stderr } = await started.ended
      slowest.seconds = Math.max(slowest.seconds, (performance.now() - killed) / 1000)
      if (code === 0) finishedAgain++
      else expect(stderr).toMatch(/signal 9/)
      done++
    }
    const reached = lines(run, 'metrics.jsonl').length
    // Each resumption drops what came after the last checkpoint, and takes a step or more.
    const last = await runs.train(4, ['--resume', run, '--threads', '1'])
    expect(last.code, last.stderr).toBe(0)
    expect(reached).toBeGreaterThan(kills / 2)
    process.stderr.write(
      `${done} kills, of which ${finishedAgain} came after the end, up to ${reached} records; the others ended at most ${slowest.seconds.toFixed(1)} s later\n`,
    )
    expect(outcomeOf(run, steps)).toEqual(outcomeOf(whole, steps))
  }, 3_600_000)
})
