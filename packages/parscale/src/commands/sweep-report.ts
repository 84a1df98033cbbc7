/** The tables that `parscale sweep` prints. */
import { rungsOf, type SweepPlan } from '../sweep/rules.ts'
import type { SweepStatus } from '../sweep/status.ts'
import { formatAmount } from '../terminal/progress.ts'
import { textTable } from '../terminal/text-table.ts'

/** What there is to do, before it is begun. */
export function planText(
  { cells, seeds, stop, axes }: SweepPlan & { readonly axes: readonly string[] },
  width: number | undefined,
): string {
  const rows = cells.map((cell) => {
    const rungs = rungsOf(cell.steps, stop)
    return [cell.name, ...axes.map((axis) => cell.axes[axis]!), `${cell.steps}`, ...(stop ? [rungs.join(' ')] : [])]
  })
  const head = ['NAME', ...axes, 'STEPS', ...(stop ? ['RUNGS'] : [])]
  const runs = cells.length * seeds.length
  return `${textTable([head, ...rows], { width })}${runs} runs: ${cells.length} x ${seeds.length} of seed ${seeds.join(', ')}\n`
}

export function statusText({ folder, state, on, job, counts, steps, runs }: SweepStatus, width: number | undefined): string {
  const rows = runs.map(({ name, state, step, steps, loss, worker }) => [
    ...[name, state, `${step}/${steps}`, loss === null ? '' : loss.toFixed(4), worker ? `${worker.host} ${worker.pid}` : ''],
  ])
  const there = Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []))
  const where = on === null ? '' : ` on ${on}${job === null ? '' : ` (job ${job})`}`
  const failed = runs.flatMap(({ name, message }) => (message === null ? [] : [`failed: ${name}: ${message}\n`]))
  const share = steps.total === 0 ? 0 : Math.floor((100 * steps.done) / steps.total)
  return [
    textTable([['RUN', 'STATE', 'STEP', 'LOSS', 'WORKER'], ...rows], { width, drop: ['WORKER'] }),
    ...failed,
    `${state}${where}: ${there.join(', ')}; ${formatAmount(steps.done)} of ${formatAmount(steps.total)} steps (${share} %)\n`,
    ...(counts.finished > 0 ? [`the table: ${folder}/results.csv (parscale fit reads it); every run: ${folder}/runs.csv\n`] : []),
  ].join('')
}
