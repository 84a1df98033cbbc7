/** Results in the forms of lm-evaluation-harness: its table (Markdown, LaTeX), its results.json, its samples; and pairs of P beside them. */
import { createHash } from 'node:crypto'
import {
  type BuiltTask,
  compareRuns,
  type Figure,
  interval,
  type RunComparison,
  type Sample,
  type TaskSet,
  taskFilters,
  taskMetrics,
  tasksBelow,
  writesPrograms,
} from '@parscale/core/internal/evaluation/tasks'
import type { RunResult } from './run.ts'
import { streamsHead, streamsRow, type TaskStreams } from './streams.ts'

/** What was run, for the results. */
export interface RunFacts {
  readonly model: string
  readonly weights: string
  readonly seed: number
  readonly limit: number | undefined
  readonly numFewshot: number | undefined
  readonly chatTemplate: boolean
  readonly fewshotAsMultiturn: boolean
  readonly revisions: ReadonlyMap<string, string>
  readonly parscaleVersion: string
}

type Cells = readonly string[]

const head: Cells = ['Tasks', 'P', 'Version', 'Filter', 'n-shot', 'Metric', '', 'Value', '', 'Stderr', '95 % interval']

const decimals = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? 'N/A' : value.toFixed(4)

/** A row for each task, P, filter and metric; tasks of a group stand below it. */
export function resultRows(set: TaskSet, built: readonly BuiltTask[], runs: readonly RunResult[]): Cells[] {
  const rows: Cells[] = []
  const byName = new Map(built.map((task) => [task.config.task, task]))
  const inGroups = new Set(set.groups.flatMap(({ members }) => members))
  const add = (name: string, depth: number) => {
    const group = set.groups.find((each) => each.name === name)
    const task = byName.get(name)
    const label = `${' '.repeat(depth)}${depth > 0 ? '- ' : ''}${group?.alias ?? task?.config.alias ?? name}`
    const shots = group ? sharedShots(tasksBelow(group, set.groups).map((each) => byName.get(each)!)) : String(task!.numFewshot)
    let first = true
    for (const run of runs) {
      const figures = (group ? run.groups : run.figures).get(name) ?? []
      for (const figure of figures.toSorted((a, b) => order(a, b))) {
        rows.push([
          first ? label : '',
          String(run.p),
          first ? String(group?.version ?? task!.config.version) : '',
          ...figureCells(figure, shots),
        ])
        first = false
      }
    }
    if (task && first && writesPrograms(task.config)) rows.push(...unjudgedRows(task, label, shots, runs))
    if (group && first) rows.push([label, '', String(group.version), '', '', '', '', '', '', '', ''])
    for (const member of group?.members ?? []) add(member, depth + 1)
  }
  for (const { name } of set.groups) if (!inGroups.has(name)) add(name, 0)
  for (const name of byName.keys()) if (!inGroups.has(name)) add(name, 0)
  return rows
}

/** Programs that nothing has run: one row for each metric and P. */
const unjudgedRows = ({ config }: BuiltTask, label: string, shots: string, runs: readonly RunResult[]): Cells[] =>
  runs.flatMap(({ p }, run) =>
    taskMetrics(config).map(({ name, higherIsBetter }, i): Cells => {
      const first = run === 0 && i === 0
      const [{ name: filter } = { name: 'none' }] = taskFilters(config)
      const named = first ? [label, String(p), String(config.version)] : ['', String(p), '']
      return [...named, filter, shots, name, higherIsBetter ? '↑' : '↓', notJudged, '', '', '']
    }),
  )

const notJudged = 'not judged'

const order = (a: Figure, b: Figure) => (keyOf(a) < keyOf(b) ? -1 : 1)
const keyOf = ({ metric, filter }: Figure) => `${metric.name},${filter}`

function sharedShots(tasks: readonly BuiltTask[]): string {
  const shots = new Set(tasks.map(({ numFewshot }) => numFewshot))
  return shots.size === 1 ? String([...shots][0]) : ' '
}

function figureCells({ metric, filter, value, standardError, values }: Figure, shots: string): Cells {
  const bounds = interval(metric.aggregation, values, value, standardError)
  const range = bounds ? `${decimals(bounds.low)} to ${decimals(bounds.high)}` : ''
  return [filter, shots, metric.name, metric.higherIsBetter ? '↑' : '↓', decimals(value), '±', decimals(standardError), range]
}

/** Each P against the smallest one, over the same questions. */
export interface Pair {
  readonly task: string
  readonly metric: string
  readonly filter: string
  readonly from: number
  readonly to: number
  readonly comparison: RunComparison
}

export function pairsOf(runs: readonly RunResult[], seed: number): Pair[] {
  const [first, ...others] = [...runs].sort((a, b) => a.p - b.p)
  if (!first) return []
  return others.flatMap((other) =>
    [...first.groups, ...first.figures].flatMap(([task, figures]) =>
      figures.flatMap((figure) => {
        const match = (other.groups.get(task) ?? other.figures.get(task))?.find((each) => keyOf(each) === keyOf(figure))
        if (!match || figure.values.length < 2) return []
        const comparison = compareRuns(figure.metric.aggregation, figure.values, match.values, seed)
        return [{ task, metric: figure.metric.name, filter: figure.filter, from: first.p, to: other.p, comparison }]
      }),
    ),
  )
}

const pairHead: Cells = ['Tasks', 'Filter', 'Metric', 'P', 'Difference', '95 % interval', 'p', 'Test', 'Only one right']

function pairCells({ task, filter, metric, from, to, comparison }: Pair): Cells {
  const { difference, interval, pValue, test, onlyFirst, onlySecond } = comparison
  const signed = (value: number) => `${value < 0 ? '' : '+'}${decimals(value)}`
  return [
    task,
    filter,
    metric,
    `${from} -> ${to}`,
    signed(difference),
    `${signed(interval.low)} to ${signed(interval.high)}`,
    pValue < 0.0001 ? '< 0.0001' : pValue.toFixed(4),
    test,
    onlyFirst === undefined ? '' : `${onlyFirst} : ${onlySecond}`,
  ]
}

export interface Tables {
  readonly rows: readonly Cells[]
  readonly pairs: readonly Pair[]
  /** What streams do, where it was asked for. */
  readonly streams: readonly TaskStreams[]
}

export const markdownTables = (tables: Tables): string => tablesOf(tables, markdown)

export const latexTables = (tables: Tables): string => tablesOf(tables, latex)

function tablesOf({ rows, pairs, streams }: Tables, write: (head: Cells, rows: readonly Cells[]) => string): string {
  const tables = [write(head, rows)]
  if (pairs.length > 0) tables.push(write(pairHead, pairs.map(pairCells)))
  if (streams.length > 0) tables.push(write(streamsHead, streams.map(streamsRow)))
  return tables.join('\n')
}

function markdown(head: Cells, rows: readonly Cells[]): string {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((row) => row[i]!.length)))
  const right = head.map((_, i) => rows.length > 0 && rows.every((row) => /^(?:[-+<]?\s?[\d.]+|N\/A|)$/.test(row[i]!)))
  const line = (row: Cells) =>
    `|${row.map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('|')}|`
  const rule = `|${widths.map((width, i) => (right[i] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))).join('|')}|`
  return `${[line(head), rule, ...rows.map(line)].join('\n')}\n`
}

const latexSigns: Readonly<Record<string, string>> = { '↑': '$\\uparrow$', '↓': '$\\downarrow$', '±': '$\\pm$', '->': '$\\to$' }

function latex(head: Cells, rows: readonly Cells[]): string {
  const cell = (text: string) =>
    text
      .replace(/[&%#_{}~^\\$]/g, (sign) => (sign === '\\' || sign === '~' || sign === '^' ? `\\${sign}{}` : `\\${sign}`))
      .replace(/↑|↓|±|->/g, (sign) => latexSigns[sign]!)
  const line = (row: Cells) => `${row.map(cell).join(' & ')} \\\\`
  return [
    `\\begin{tabular}{${'l'.repeat(head.length)}}`,
    '\\hline',
    line(head),
    '\\hline',
    ...rows.map(line),
    '\\hline',
    '\\end{tabular}',
    '',
  ].join('\n')
}

/** One P's results as the harness' results.json has them. */
export function resultsJson(set: TaskSet, built: readonly BuiltTask[], run: RunResult, facts: RunFacts): Record<string, unknown> {
  const figuresOf = (figures: readonly Figure[]) =>
    Object.fromEntries(
      figures.flatMap(({ metric, filter, value, standardError }) => [
        [`${metric.name},${filter}`, value],
        [`${metric.name}_stderr,${filter}`, standardError ?? 'N/A'],
      ]),
    )
  const byTask = <T>(make: (task: BuiltTask) => T) => Object.fromEntries(built.map((task) => [task.config.task, make(task)]))
  const tasks = byTask(({ config, items }) => ({
    name: config.task,
    alias: config.alias,
    sample_len: items.length,
    ...figuresOf(run.figures.get(config.task) ?? []),
  }))
  const groups = Object.fromEntries(
    set.groups.map(({ name, alias }) => [name, { name, alias, ...figuresOf(run.groups.get(name) ?? []) }]),
  )
  return {
    results: { ...tasks, ...groups },
    ...(set.groups.length > 0 && { groups }),
    group_subtasks: Object.fromEntries(set.groups.map(({ name, members }) => [name, members])),
    configs: byTask(({ config, numFewshot }) => ({ ...config.raw, num_fewshot: numFewshot })),
    versions: {
      ...byTask(({ config }) => config.version),
      ...Object.fromEntries(set.groups.map(({ name, version }) => [name, version])),
    },
    'n-shot': byTask(({ numFewshot }) => numFewshot),
    higher_is_better: byTask(({ config }) =>
      Object.fromEntries((run.figures.get(config.task) ?? []).map(({ metric }) => [metric.name, metric.higherIsBetter])),
    ),
    'n-samples': byTask(({ items, size }) => ({ original: size, effective: items.length })),
    config: {
      model: 'parscale',
      model_args: { pretrained: facts.model, p: run.p, weights: facts.weights },
      limit: facts.limit ?? null,
      num_fewshot: facts.numFewshot ?? null,
      fewshot_seed: facts.seed,
    },
    fewshot_as_multiturn: facts.fewshotAsMultiturn,
    apply_chat_template: facts.chatTemplate,
    dataset_revisions: Object.fromEntries(facts.revisions),
    parscale_version: facts.parscaleVersion,
    p: run.p,
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Lines of the harness' samples_TASK.jsonl, with its hashes. */
export function sampleLines(samples: readonly Sample[]): string {
  return samples
    .map((sample) => {
      const {
        doc,
        target,
        arguments: asked,
      } = sample as { doc: unknown; target: string; arguments: Record<string, { arg_0: string }> }
      const hashes = {
        doc_hash: sha256(JSON.stringify(doc, null, 2)),
        prompt_hash: sha256(asked.gen_args_0!.arg_0),
        target_hash: sha256(target),
      }
      return `${JSON.stringify({ ...sample, ...hashes })}\n`
    })
    .join('')
}

export const pairsJson = (pairs: readonly Pair[]) =>
  pairs.map(({ comparison, from, to, ...rest }) => ({ ...rest, p: [from, to], ...comparison }))
