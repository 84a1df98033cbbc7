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

/**
 * A row for each N, P and D: the mean of the seeds of the cell that has the lowest, where further axes gave several. `weight` is the
 * number of runs; `standardError` is that of the mean over seeds, empty for one; `heldOutError` that of one run's loss over the
 * held-out sequences, which all runs share.
 */
export function resultRows({ cells, axes }: Labelled, { runs }: Outlook): Cell[][] {
  const columns = columnsOf(axes)
  const means = cells.flatMap((cell, i) => {
    const results = runs.flatMap(({ cell: at, result }) => (at === i && result ? [result] : []))
    return results.length > 0 ? [{ cell, results, loss: mean(results.map(({ loss }) => loss)) }] : []
  })
  const points = new Map<string, (typeof means)[number]>()
  for (const each of means) {
    const { N, P, D } = each.results[0]!
    const key = `${N} ${P} ${D}`
    const best = points.get(key)
    if (!best || each.loss < best.loss) points.set(key, each)
  }
  const rows = [...points.values()].map(({ cell, results, loss }) => {
    const { N, P, D } = results[0]!
    const errors = results.flatMap(({ heldOutError }) => heldOutError ?? [])
    const error = standardError(results.map((each: Finished) => each.loss))
    return [
      ...[N, P, D, loss, error, errors.length > 0 ? mean(errors) : undefined, results.length],
      ...columns.map(({ axis }) => cell.axes[axis]),
    ]
  })
  const head = ['N', 'P', 'D', 'loss', 'standardError', 'heldOutError', 'weight', ...columns.map(({ column }) => column)]
  return [head, ...rows.sort((a, b) => Number(a[0]) - Number(b[0]) || Number(a[1]) - Number(b[1]) || Number(a[2]) - Number(b[2]))]
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Labels have no commas (plan.ts). */
export const csv = (rows: readonly (readonly Cell[])[]): string =>
  rows.map((row) => `${row.map((cell) => cell ?? '').join(',')}\n`).join('')
