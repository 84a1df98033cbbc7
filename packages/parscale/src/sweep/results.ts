/** The tables of a sweep. Numbers are written so that they are read back with the same bits. */
import { type Finished, type Outlook, type SweepPlan, standardError } from './rules.ts'

type Cell = string | number | null | undefined
interface Labelled extends SweepPlan {
  readonly axes: readonly string[]
}

/** Columns that `parscale fit` reads, whatever their case. */
const taken = ['n', 'p', 'd', 'loss', 'weight']
const otherColumns = ['run', 'seed', 'state', 'step', 'standarderror', 'seeds', 'heldouterror']

/** Axes as columns: that of P is there already, and a name must not be there twice. */
const columnsOf = (axes: readonly string[]): { readonly axis: string; readonly column: string }[] =>
  axes
    .filter((axis) => axis !== 'p')
    .map((axis) => ({ axis, column: [...taken, ...otherColumns].includes(axis.toLowerCase()) ? `axis.${axis}` : axis }))

/** A row for each run, in the order of the plan. */
export function runRows({ cells, axes }: Labelled, { runs }: Outlook): Cell[][] {
  const columns = columnsOf(axes)
  return [
    ['run', 'N', 'P', 'D', 'loss', 'heldOutError', 'seed', ...columns.map(({ column }) => column), 'state', 'step'],
    ...runs.map(({ name, cell, seed, state, step, loss, result }) => [
      ...[name, result?.N, result?.P, result?.D, loss, result?.heldOutError, seed],
      ...columns.map(({ axis }) => cells[cell]!.axes[axis]),
      ...[state, step],
    ]),
  ]
}

/** The mean of the seeds of a cell. */
export interface ResultPoint {
  readonly N: number
  readonly P: number
  readonly D: number
  readonly loss: number
  /** Of the mean over seeds; undefined for one. */
  readonly standardError: number | undefined
  /** Of one run's loss over the held-out sequences, which all runs share. */
  readonly heldOutError: number | undefined
  readonly runs: number
  readonly axes: Readonly<Record<string, string>>
}

/** A point for each N, P and D, in that order: the cell of the lowest loss, where further axes gave several. */
export function resultPoints({ cells }: SweepPlan, { runs }: Outlook): ResultPoint[] {
  const points = new Map<string, ResultPoint>()
  for (const [i, { axes }] of cells.entries()) {
    const results = runs.flatMap(({ cell, result }) => (cell === i && result ? [result] : []))
    if (results.length === 0) continue
    const { N, P, D } = results[0]!
    const losses = results.map((each: Finished) => each.loss)
    const loss = mean(losses)
    const key = `${N} ${P} ${D}`
    if ((points.get(key)?.loss ?? Infinity) <= loss) continue
    const errors = results.flatMap(({ heldOutError }) => heldOutError ?? [])
    const heldOutError = errors.length > 0 ? mean(errors) : undefined
    points.set(key, { N, P, D, loss, standardError: standardError(losses), heldOutError, runs: results.length, axes })
  }
  return [...points.values()].sort((a, b) => a.N - b.N || a.P - b.P || a.D - b.D)
}

/** The points as rows. `weight` is the number of runs. */
export function resultRows(plan: Labelled, outlook: Outlook): Cell[][] {
  const columns = columnsOf(plan.axes)
  const rows = resultPoints(plan, outlook).map(({ N, P, D, loss, standardError, heldOutError, runs, axes }) => [
    ...[N, P, D, loss, standardError, heldOutError, runs],
    ...columns.map(({ axis }) => axes[axis]),
  ])
  return [['N', 'P', 'D', 'loss', 'standardError', 'heldOutError', 'weight', ...columns.map(({ column }) => column)], ...rows]
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Labels have no commas (plan.ts). */
export const csv = (rows: readonly (readonly Cell[])[]): string =>
  rows.map((row) => `${row.map((cell) => cell ?? '').join(',')}\n`).join('')
