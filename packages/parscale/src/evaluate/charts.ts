/** Each task's figure over P with its interval, a panel for each. */
import { type BuiltTask, interval, type TaskSet } from '@parscale/core/internal/evaluation/tasks'
import type { Chart, XY } from '@parscale/core/internal/law'
import type { RunResult } from './run.ts'

/** Groups first; of a task its first metric and filter. */
export function evaluationCharts(set: TaskSet, built: readonly BuiltTask[], runs: readonly RunResult[]): Chart[] {
  const sorted = [...runs].sort((a, b) => a.p - b.p)
  const names = [...set.groups.map(({ name }) => name), ...built.map(({ config }) => config.task)]
  return names.flatMap((name) => {
    const points = sorted.flatMap(({ p, figures, groups }) => {
      const [figure] = groups.get(name) ?? figures.get(name) ?? []
      return figure ? [{ p, figure }] : []
    })
    const [first] = points
    if (!first) return []
    const { metric, filter } = first.figure
    const band = points.flatMap(({ p, figure }): (readonly [number, number, number])[] => {
      const bounds = interval(metric.aggregation, figure.values, figure.value, figure.standardError)
      return bounds ? [[p, bounds.low, bounds.high]] : []
    })
    const line = points.map(({ p, figure }): XY => [p, figure.value])
    return [
      {
        title: name,
        x: { label: 'P', scale: 'log', ticks: sorted.map(({ p }) => p) },
        y: { label: filter === 'none' ? metric.name : `${metric.name}, ${filter}`, scale: 'linear' },
        series: [{ name: `${metric.name}, 95 % interval`, line, dots: line, band }],
      } as const,
    ]
  })
}
