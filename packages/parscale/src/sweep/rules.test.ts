import { createRandom } from '@parscale/core/internal'
import { expect, it } from 'vitest'
import { axisOf, cellsOf } from './plan.ts'
import { type Job, mostDeaths, outlookOf, type Report, rungsOf, type StopRule, type SweepPlan, standardError } from './rules.ts'

const steps = 27
const planOf = (count: number, more: Partial<SweepPlan> = {}): SweepPlan => ({
  cells: cellsOf([
    axisOf(
      'x',
      Array.from({ length: count }, (_, i) => i),
    ),
  ]).map((cell) => ({ ...cell, steps })),
  seeds: [0],
  ...more,
})
const stop = (rule: StopRule['rule'], within: string[] = []): StopRule => ({ rule, eta: 3, least: 3, within })

/** A loss that rungs put in the same order as the end does, but for noise that is a run's own. */
const lossOf = ({ cell, seed }: Pick<Job, 'cell' | 'seed'>, step: number): number =>
  1 + ((cell * 7) % 27) / 27 + 1 / step + ((cell * 13 + step) % 5) / 100 + ((cell * 5 + seed * 17) % 11) / 50

const reportOf = (job: Job): Report =>
  job.until === steps
    ? { event: 'finished', run: job.name, loss: lossOf(job, steps), heldOutError: null, N: 100, P: 1, D: 1000 }
    : { event: 'rung', run: job.name, step: job.until, loss: lossOf(job, job.until) }

/** Works a sweep off with some workers that take any time; returns the reports in their order. */
function work(plan: SweepPlan, seed: number, workers = 4, failing: (job: Job) => boolean = () => false): Report[] {
  const random = createRandom(seed)
  const reports: Report[] = []
  const busy: Job[] = []
  for (;;) {
    const { ready } = outlookOf(plan, reports)
    if (ready.length === 0) return reports
    for (const job of ready) {
      if (busy.length === workers || busy.some(({ name }) => name === job.name)) continue
      busy.push(job)
      reports.push({ event: 'begun', run: job.name, step: 0, until: job.until })
    }
    const [done] = busy.splice(random.below(busy.length), 1)
    const outcome = random.below(10)
    if (outcome === 0) continue // killed
    if (outcome === 1) reports.push({ event: 'left', run: done!.name })
    else reports.push(failing(done!) ? { event: 'failed', run: done!.name, message: 'NaN' } : reportOf(done!))
  }
}

const table = (plan: SweepPlan, reports: readonly Report[]) =>
  outlookOf(plan, reports).runs.map(({ name, state, loss, step }) =>
    state === 'failed' ? [name, state] : [name, state, loss, step],
  )
const states = (plan: SweepPlan, reports: readonly Report[]) => {
  const counts: Record<string, number> = {}
  for (const { state } of outlookOf(plan, reports).runs) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

it('has rungs at powers of eta below the end', () => {
  expect(rungsOf(27, stop('asha'))).toEqual([3, 9])
  expect(rungsOf(28, stop('asha'))).toEqual([3, 9, 27])
  expect(rungsOf(3, stop('asha'))).toEqual([])
  expect(rungsOf(27, undefined)).toEqual([])
})

it('without rules runs everything once, in any order', () => {
  const plan = planOf(10, { seeds: [0, 1] })
  const reports = work(plan, 1)
  expect(states(plan, reports)).toEqual({ finished: 20 })
  expect(reports.filter(({ event }) => event === 'finished')).toHaveLength(20)
  for (let seed = 2; seed < 12; seed++) expect(table(plan, work(plan, seed))).toEqual(table(plan, reports))
})

it('halving gives the same whatever the order, the kills and the number of workers, and the best of each rung go on', () => {
  const plan = planOf(27, { stop: stop('halving') })
  const expected = work(plan, 0, 1)
  expect(states(plan, expected)).toEqual({ finished: 3, stopped: 24 })
  const at = (step: number) =>
    Array.from({ length: 27 }, (_, cell) => cell).sort(
      (a, b) => lossOf({ cell: a, seed: 0 }, step) - lossOf({ cell: b, seed: 0 }, step),
    )
  const rung = at(3).slice(0, 9)
  const best = at(9)
    .filter((cell) => rung.includes(cell))
    .slice(0, 3)
  const finished = outlookOf(plan, expected).runs.filter(({ state }) => state === 'finished')
  expect(finished.map(({ cell }) => cell).sort()).toEqual(best.sort())
  for (let seed = 1; seed < 40; seed++) expect(table(plan, work(plan, seed, 1 + (seed % 9)))).toEqual(table(plan, expected))
})

it('halving lets a run go on as soon as nothing can put it out, before the rung is full', () => {
  const plan = planOf(4, { stop: { ...stop('halving'), eta: 2 } })
  const rung = (cell: number, loss: number): Report => ({ event: 'rung', run: `${cell + 1}-x-${cell}-seed-0`, step: 3, loss })
  const ready = (...reports: Report[]) => outlookOf(plan, reports).ready.map(({ cell, until }) => [cell, until])
  expect(ready(rung(0, 1), rung(1, 2))).toEqual([
    [2, 3],
    [3, 3],
  ])
  expect(ready(rung(0, 1), rung(1, 2), rung(2, 3))).toEqual([
    [0, 6],
    [3, 3],
  ])
  const { runs } = outlookOf(plan, [rung(0, 1), rung(1, 2), rung(2, 3), rung(3, 1.5)])
  expect(runs.map(({ state }) => state)).toEqual(['rung', 'stopped', 'stopped', 'rung'])
})

it('asha waits for nobody, ends, and trains what is among the best of those that came', () => {
  const plan = planOf(27, { stop: stop('asha') })
  for (let seed = 0; seed < 40; seed++) {
    const counts = states(plan, work(plan, seed, 1 + (seed % 9)))
    expect(counts.finished! + counts.stopped!).toBe(27)
    expect(counts.finished).toBeGreaterThanOrEqual(1)
    expect(counts.finished).toBeLessThan(14)
  }
  // Three have come: the best goes on though 24 are missing.
  const came = [0, 1, 2].map((cell): Report => ({ event: 'rung', run: `0${cell + 1}-x-${cell}-seed-0`, step: 3, loss: cell }))
  expect(outlookOf(plan, came).ready[0]).toMatchObject({ cell: 0, until: 9 })
  expect(outlookOf(plan, came.slice(0, 2)).ready[0]).toMatchObject({ cell: 2, until: 3 })
})

it('holds a competition for each value of the axes in `within`', () => {
  const cells = cellsOf([axisOf('p', [1, 2]), axisOf('x', [0, 1, 2])]).map((cell) => ({ ...cell, steps }))
  const plan: SweepPlan = { cells, seeds: [0], stop: stop('halving', ['p']) }
  const finished = outlookOf(plan, work(plan, 3)).runs.filter(({ state }) => state === 'finished')
  expect(finished.map(({ cell }) => plan.cells[cell]!.axes.p)).toEqual(['1', '2'])
})

it.each(['halving', 'asha'] as const)('%s goes on past runs that fail, all of them even', (rule) => {
  const plan = planOf(9, { stop: stop(rule) })
  for (let seed = 0; seed < 20; seed++) {
    const some = work(plan, seed, 3, ({ cell }) => cell % 2 === 0)
    expect(states(plan, some).failed).toBe(5)
    expect(states(plan, some).finished).toBeGreaterThanOrEqual(1)
    expect(
      states(
        plan,
        work(plan, seed, 3, () => true),
      ),
    ).toEqual({ failed: 9 })
  }
})

it('adds seeds until the interval is narrow, or there are enough, in any order the same', () => {
  const plan = planOf(6, { seeds: [0, 1], more: { until: 0.03, most: 6 } })
  const expected = work(plan, 0)
  const { runs } = outlookOf(plan, expected)
  const counts = plan.cells.map((_, cell) => {
    const losses = runs.filter((run) => run.cell === cell).map((run) => run.result!.loss)
    expect(losses.length === 6 || standardError(losses)! <= 0.03, `${losses}`).toBe(true)
    if (losses.length > 2) expect(standardError(losses.slice(0, -1))).toBeGreaterThan(0.03)
    return losses.length
  })
  expect(new Set(counts).size).toBeGreaterThan(1)
  for (let seed = 1; seed < 20; seed++) expect(table(plan, work(plan, seed))).toEqual(table(plan, expected))
})

it('gives a second seed to what has one, and none to what was stopped or failed', () => {
  const plan = planOf(9, { more: { until: 10, most: 3 }, stop: stop('halving') })
  const { runs } = outlookOf(plan, work(plan, 4))
  const winner = runs.find(({ seed }) => seed === 1)!
  expect(runs.filter(({ cell }) => cell === winner.cell)).toHaveLength(2)
  expect(runs).toHaveLength(10)
  const failing = planOf(2, { more: { until: 10, most: 3 } })
  expect(
    outlookOf(
      failing,
      work(failing, 0, 1, ({ cell }) => cell === 0),
    ).runs.map(({ cell, seed }) => [cell, seed]),
  ).toEqual([
    [0, 0],
    [1, 0],
    [1, 1],
  ])
})

it('gives up a run that workers die of, but not one that gets on', () => {
  const plan = planOf(1)
  const begun = (step: number): Report => ({ event: 'begun', run: '1-x-0-seed-0', step, until: steps })
  const deaths = Array.from({ length: mostDeaths + 1 }, () => begun(4))
  expect(outlookOf(plan, deaths).runs[0]).toMatchObject({ state: 'failed', message: expect.stringContaining('step 4') })
  expect(outlookOf(plan, deaths.slice(1)).ready).toHaveLength(1)
  expect(
    outlookOf(
      plan,
      deaths.map((_, i) => begun(i)),
    ).ready,
  ).toHaveLength(1)
  expect(
    outlookOf(
      plan,
      deaths.flatMap((each): Report[] => [each, { event: 'left', run: each.run }]),
    ).ready,
  ).toHaveLength(1)
})

it('computes the standard error of a mean', () => {
  expect(standardError([1])).toBeUndefined()
  expect(standardError([1, 2, 3, 4])).toBeCloseTo(0.6454972243679028, 15) // numpy: std(ddof=1) / 2
})
