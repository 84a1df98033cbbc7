/** Groups of tasks: the mean of a metric over their questions, or over the tasks (lm_eval.api.group). */
import type { Figure } from './evaluate.ts'
import type { TaskGroup } from './task-files.ts'

/** Names of all tasks below a group. */
export function tasksBelow(group: TaskGroup, groups: readonly TaskGroup[]): string[] {
  return group.members.flatMap((member) => {
    const inner = groups.find(({ name }) => name === member)
    return inner ? tasksBelow(inner, groups) : [member]
  })
}

/** @param results figures of each task by name */
export function groupFigures(
  group: TaskGroup,
  groups: readonly TaskGroup[],
  results: ReadonlyMap<string, readonly Figure[]>,
): Figure[] {
  const figures = tasksBelow(group, groups).flatMap((task) => results.get(task) ?? [])
  return group.aggregates.flatMap(({ metric, filters, bySize }) => {
    const named = figures.filter(({ metric: { name } }) => name === metric)
    const wanted = filters ?? [...new Set(named.map(({ filter }) => filter))]
    return wanted.flatMap((filter) => {
      const members = named.filter((figure) => figure.filter === filter)
      return members.length === 0 ? [] : [merged(members, bySize)]
    })
  })
}

function merged(members: readonly Figure[], bySize: boolean): Figure {
  const sizes = members.map(({ values }) => values.length)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const weights = bySize ? sizes.map((size) => size / total) : members.map(() => 1 / members.length)
  const value = members.reduce((sum, member, i) => sum + member.value * weights[i]!, 0)
  const errors = members.map(({ standardError }) => standardError)
  const known = errors.every((error) => error !== undefined) ? (errors as number[]) : undefined
  return {
    metric: members[0]!.metric,
    filter: members[0]!.filter,
    value,
    standardError: known && (bySize ? pooled(known, sizes, total) : Math.hypot(...known) / members.length),
    values: members.flatMap(({ values }) => values),
  }
}

/** The harness' `pooled_sample_stderr`. */
function pooled(errors: readonly number[], sizes: readonly number[], total: number): number {
  const variance = errors.reduce((sum, error, i) => sum + (sizes[i]! - 1) * error ** 2 * sizes[i]!, 0) / (total - sizes.length)
  return Math.sqrt(variance / total)
}
