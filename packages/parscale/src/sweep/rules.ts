/**
 * What is to be done next, from what has been reported: which run goes on and how far (successive halving), and which cell gets another
 * seed. Pure, so that it gives the same to every worker that has read the same journal.
 *
 * `halving` promotes the best 1/eta of all runs of a rung (Jamieson and Talwalkar, arXiv 1502.07943): a run goes on as soon as no result
 * that is missing can put it out of them. What is trained, and so the table, does not depend on who was faster. `asha` promotes
 * the best 1/eta of what has come so far (Li and others, arXiv 1810.05934, algorithm 2): nobody waits, and which runs end early depends on
 * the order of results. A run's loss never does.
 */
import { type Cell, type RunName, runOf } from './plan.ts'

export interface StopRule {
  readonly rule: 'halving' | 'asha'
  /** One of so many goes on from a rung. */
  readonly eta: number
  /** Steps of the first rung; the others are at least * eta^k. */
  readonly least: number
  /** Axes of which each value has a competition of its own. */
  readonly within: readonly string[]
}

export interface SeedRule {
  /** The largest standard error of a cell's mean loss that is good enough, in nats a token. */
  readonly until: number
  /** Seeds of a cell at most. */
  readonly most: number
}

export interface SweepPlan {
  readonly cells: readonly (Cell & { readonly steps: number })[]
  readonly seeds: readonly number[]
  readonly stop?: StopRule | undefined
  readonly more?: SeedRule | undefined
}

/** What a worker reports of a run. */
export type Report =
  /** Taken up at `step`, to go on to `until`. */
  | { readonly event: 'begun'; readonly run: string; readonly step: number; readonly until: number }
  /** Left in good order before it got there. */
  | { readonly event: 'left'; readonly run: string }
  | { readonly event: 'rung'; readonly run: string; readonly step: number; readonly loss: number }
  | ({ readonly event: 'finished'; readonly run: string } & Finished)
  | { readonly event: 'failed'; readonly run: string; readonly message: string }

export interface Finished {
  /** Held-out loss, nats a token. */
  readonly loss: number
  /** Standard error of the loss over held-out sequences. */
  readonly heldOutError: number | null
  readonly N: number
  readonly P: number
  readonly D: number
}

export interface Job extends RunName {
  /** The step to go to. */
  readonly until: number
}

export type RunState = 'waiting' | 'begun' | 'rung' | 'stopped' | 'finished' | 'failed'

export interface RunOutlook extends RunName {
  readonly state: RunState
  /** Of the last report. */
  readonly step: number
  readonly steps: number
  readonly loss: number | undefined
  readonly result: Finished | undefined
  readonly message: string | undefined
}

export interface Outlook {
  readonly runs: readonly RunOutlook[]
  /** In the order in which to take them. Empty: the sweep is done. A job is in here until its report has come, also while somebody does it. */
  readonly ready: readonly Job[]
}

/** A run that was taken up so often at one step, and never reported of again, is taken for what kills its workers. */
export const mostDeaths = 20

/** The steps of the rungs below the end. */
export function rungsOf(steps: number, stop: StopRule | undefined): number[] {
  const rungs: number[] = []
  if (stop) for (let step = stop.least; step < steps; step *= stop.eta) rungs.push(step)
  return rungs
}

interface History extends RunName {
  readonly steps: number
  readonly rungs: readonly number[]
  /** A loss by rung. */
  readonly losses: Map<number, number>
  /** The farthest step that somebody went for. */
  sought: number
  step: number
  begun: boolean
  /** How often it was taken up at this step, one after the other. */
  attempts: number
  result?: Finished
  message?: string
}

export function outlookOf(plan: SweepPlan, reports: readonly Report[]): Outlook {
  const histories = readReports(plan, reports)
  const first = histories.filter(({ seed }) => plan.seeds.includes(seed))
  const stopped = new Set<History>()
  const jobs: { history: History; until: number }[] = []
  const offer = (history: History, until: number) => void (isOpen(history) && jobs.push({ history, until }))

  // Runs of the plan compete; those that were added for an interval run to their end.
  for (const group of groupsOf(plan, first)) {
    const rungs = group[0]!.rungs
    let entrants: Entrants = { runs: group, size: group.length, final: true }
    for (const [k, rung] of rungs.entries()) {
      for (const history of entrants.runs) if (!history.losses.has(k)) offer(history, rung)
      const next = promoted(entrants, k, plan.stop!)
      if (next.final) for (const history of entrants.runs) if (!next.runs.includes(history)) stopped.add(history)
      entrants = next
    }
    for (const history of entrants.runs) offer(history, history.steps)
  }
  for (const history of histories) if (!first.includes(history)) offer(history, history.steps)

  for (const cell of plan.cells.keys()) {
    const runs = histories.filter((history) => history.cell === cell)
    // Only once nothing of the cell is open: how many seeds it gets must not depend on who was faster.
    const seed = runs.some((run) => isOpen(run) && !stopped.has(run)) ? undefined : nextSeed(plan, runs)
    if (seed === undefined) continue
    const added = historyOf(plan, cell, seed)
    histories.push(added)
    offer(added, added.steps)
  }

  // What was taken up before, and may have killed its worker, comes last.
  const order = new Map(histories.map((history, i) => [history, i]))
  const place = ({ history, until }: (typeof jobs)[number]) => [
    ...[-history.attempts, history.losses.size, until / history.steps, -order.get(history)!],
  ]
  const byProgress = jobs.sort((a, b) => {
    const [left, right] = [place(a), place(b)]
    return left.map((value, i) => right[i]! - value).find((difference) => difference !== 0) ?? 0
  })
  return {
    runs: histories.map((history) => show(history, stopped.has(history))).sort((a, b) => a.cell - b.cell || a.seed - b.seed),
    ready: byProgress.map(({ history: { name, cell, seed }, until }) => ({ name, cell, seed, until })),
  }
}

interface Entrants {
  readonly runs: readonly History[]
  /** How many there will be. */
  readonly size: number
  /** No others come. */
  readonly final: boolean
}

/** Those that go on from rung k. */
function promoted({ runs, size, final }: Entrants, k: number, { rule, eta }: StopRule): Entrants {
  const ranked = runs
    .filter((run) => run.losses.has(k))
    .sort((a, b) => a.losses.get(k)! - b.losses.get(k)! || a.cell - b.cell || a.seed - b.seed)
  const failed = runs.filter((run) => run.message !== undefined && !run.losses.has(k)).length
  const missing = size - ranked.length - failed
  const complete = final && missing === 0
  const keep = Math.max(1, Math.floor(size / eta))
  const share = Math.floor((ranked.length + failed) / eta)
  const rung = runs[0]?.rungs[k] ?? 0
  const goes = (run: History, rank: number) => {
    if (complete && rank < keep) return true
    return rule === 'halving' ? rank + missing < keep : rank < share || run.sought > rung
  }
  const next = ranked.filter(goes)
  const expected = complete ? next.length : rule === 'halving' ? keep : Number.POSITIVE_INFINITY
  return { runs: next, size: expected, final: complete || (rule === 'halving' && next.length === keep) }
}

const isOpen = ({ result, message }: History): boolean => result === undefined && message === undefined

function groupsOf({ cells, stop }: SweepPlan, histories: readonly History[]): History[][] {
  if (!stop) return histories.map((history) => [history])
  const groups = new Map<string, History[]>()
  for (const history of histories) {
    const key = JSON.stringify(stop.within.map((axis) => cells[history.cell]!.axes[axis]))
    groups.set(key, [...(groups.get(key) ?? []), history])
  }
  return [...groups.values()]
}

/** One more than the largest, where a cell has finished runs and too wide an interval. */
function nextSeed({ more }: SweepPlan, runs: readonly History[]): number | undefined {
  if (!more || runs.length >= more.most) return undefined
  const losses = runs.flatMap(({ result }) => (result ? [result.loss] : []))
  if (losses.length === 0) return undefined
  const error = standardError(losses)
  return error === undefined || error > more.until ? Math.max(...runs.map(({ seed }) => seed)) + 1 : undefined
}

/** Of the mean of values that were drawn independently; undefined of fewer than two. */
export function standardError(values: readonly number[]): number | undefined {
  const n = values.length
  if (n < 2) return undefined
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1) / n)
}

const historyOf = ({ cells, stop }: SweepPlan, cell: number, seed: number): History => {
  const { steps } = cells[cell]!
  const rungs = rungsOf(steps, stop)
  return { ...runOf(cells, cell, seed), steps, rungs, losses: new Map(), sought: 0, step: 0, begun: false, attempts: 0 }
}

function readReports(plan: SweepPlan, reports: readonly Report[]): History[] {
  const histories = plan.cells.flatMap((_, cell) => plan.seeds.map((seed) => historyOf(plan, cell, seed)))
  const byName = new Map(histories.map((history) => [history.name, history]))
  for (const report of reports) {
    const history = byName.get(report.run) ?? added(plan, report.run)
    if (!history) continue
    if (!byName.has(report.run)) {
      byName.set(report.run, history)
      histories.push(history)
    }
    apply(history, report)
  }
  return histories
}

function apply(history: History, report: Report): void {
  if (report.event === 'begun') {
    history.attempts = history.begun && report.step === history.step ? history.attempts + 1 : 1
    history.step = report.step
    history.sought = Math.max(history.sought, report.until)
    history.begun = true
    if (history.attempts > mostDeaths)
      history.message ??= `${mostDeaths} workers died with it at step ${report.step}, one after the other; its log says more`
    return
  }
  history.begun = false
  history.attempts = 0
  if (report.event === 'rung') {
    history.step = report.step
    history.losses.set(history.rungs.indexOf(report.step), report.loss)
  } else if (report.event === 'finished') {
    const { event: _, run: __, ...result } = report
    history.result ??= result
    history.step = history.steps
  } else if (report.event === 'failed') history.message ??= report.message
}

/** A run that the rule of seeds has added. */
function added(plan: SweepPlan, name: string): History | undefined {
  const [, cellName, seed] = /^(.*)-seed-(\d+)$/.exec(name) ?? []
  const cell = plan.cells.findIndex((each) => each.name === cellName)
  return cell < 0 ? undefined : historyOf(plan, cell, Number(seed))
}

function show(history: History, isStopped: boolean): RunOutlook {
  const { name, cell, seed, step, steps, result, message, losses, begun } = history
  const state = result ? 'finished' : message !== undefined ? 'failed' : begun ? 'begun' : losses.size === 0 ? 'waiting' : 'rung'
  const isOut = isStopped && (state === 'rung' || state === 'begun')
  const loss = result?.loss ?? [...losses.values()].at(-1)
  return { name, cell, seed, step, steps, state: isOut ? 'stopped' : state, loss, result, message }
}
