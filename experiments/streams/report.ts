/** The tables of the study, from the records of its runs. */
import { type Cell, cellName, cells, isComparable, type Size, sizes } from './cells.ts'
import { better, betterAtEqual, type Interval, isWithin, type Model, worth } from './compare-cells.ts'
import { type Costs, costsOf, currencies, isPlain } from './costs.ts'
import { bestRate } from './plan.ts'
import { type Record, readRecords, reportedDocuments, reportedLoss, type StreamFigures } from './records.ts'

interface Row extends Model {
  readonly cell: Cell
  readonly rate: number
  /** Nats a token, which is a byte unless the size says otherwise, on the reported documents, mean over seeds. */
  readonly loss: number
}

/** Which variant at P = 1 has the same extra parameters as a stream of this one. */
const controlOf = (name: string): string | undefined =>
  [
    ['all', 'p1-all'],
    ['prefix', 'p1-prefix'],
    ['lora', 'p1-lora'],
    ['scales', 'p1-scales'],
  ].find(([kind]) => name.startsWith(kind!) && /-p\d+$/.test(name))?.[1]

/** Prints what has been found so far, as Markdown. */
export function report(root: string): string {
  const rows = rowsOf(readRecords(root))
  const names = Object.keys(sizes).filter((name) => rows.some(({ cell }) => cell.size.name === name && !isPlain(cell.variant)))
  return [
    ...[sizes['35k'], sizes['35k-repeated'], sizes['35k-long']]
      .map((like) => ladderOf(rows, like))
      .filter(({ length }) => length > 1)
      .map(ladderTable),
    ...names.flatMap((name) => sizeTables(name, rows)),
  ].join('\n\n')
}

function rowsOf(records: readonly Record[]): Row[] {
  return cells.flatMap((cell) => {
    const best = bestRate(records, cell)
    if (!best) return []
    const runs = records.filter(
      ({ size, variant, rate }) => `${size}-${variant}` === cellName(cell) && Math.abs(rate / best.rate - 1) < 1e-6,
    )
    const loss = runs.reduce((sum, run) => sum + reportedLoss(run), 0) / runs.length
    return [{ cell, rate: best.rate, runs, loss, costs: costsOf(runs[0]!) }]
  })
}

/** P = 1 of all sizes whose losses can be compared. */
const ladderOf = (rows: readonly Row[], size: Size): Row[] =>
  rows.filter(({ cell }) => isPlain(cell.variant) && isComparable(cell.size, size))

function ladderTable(rows: readonly Row[]): string {
  const { length: documents } = reportedDocuments(rows[0]!.runs[0]!)
  const bytes = reportedDocuments(rows[0]!.runs[0]!).reduce((sum, { tokens }) => sum + tokens, 0)
  const lines = rows
    .toSorted((a, b) => a.costs.parameters - b.costs.parameters)
    .map(({ costs, rate, runs, loss }) => `| ${costs.parameters} | ${rate} | ${runs.length} | ${loss.toFixed(4)} |`)
  return [
    `### P = 1 on ${rows[0]!.cell.size.text.name}: what parameters are worth (${documents} documents, ${bytes} bytes)`,
    '',
    '| parameters | rate | seeds | nats a byte |',
    '|---|---|---|---|',
    ...lines,
  ].join('\n')
}

function sizeTables(name: string, rows: readonly Row[]): string[] {
  const mine = rows.filter(({ cell }) => cell.size.name === name)
  const base = mine.find(({ cell }) => isPlain(cell.variant))
  if (!base) return []
  const ladder = ladderOf(rows, base.cell.size)
  const unit = base.cell.size.vocabulary === 257 ? 'byte' : 'token'
  const control = (row: Row) => mine.find(({ cell }) => cell.variant.name === controlOf(row.cell.variant.name))
  const gains = mine.map((row) =>
    [
      row.cell.variant.title,
      row.costs.parameters,
      row.rate,
      row.runs.map((run) => reportedLoss(run).toFixed(4)).join(', '),
      row === base ? '' : shown(better(row, base)),
      control(row) ? shown(better(row, control(row)!)) : '',
      row === base || ladder.length < 2 ? '' : shown(worth(row, base, ladder), 2),
      row.cell.variant.p === 1 || ladder.length < 2 ? '' : kOf(worth(row, base, ladder), row.cell.variant.p),
    ].join(' | '),
  )
  const equal = mine
    .filter(({ cell }) => cell.variant.p > 1 && ladder.length > 1)
    .map((row) => [row.cell.variant.title, ...currencies.map((currency) => equalCost(row, ladder, currency))].join(' | '))
  const streams = mine
    .filter(({ runs }) => runs[0]!.streams)
    .map((row) => [row.cell.variant.title, ...streamFigures(row.runs)].join(' | '))
  return [
    table(
      `### ${name}: gains`,
      [
        '',
        'parameters',
        'rate',
        `nats a ${unit}, each seed`,
        'better than P = 1',
        'than P = 1 with the same of one stream',
        'worth',
        'k',
      ],
      gains,
    ),
    ...(ladder.length < 2 ? [] : [table(`### ${name}: better than P = 1 of equal cost`, ['', ...currencies], equal)]),
    table(
      `### ${name}: the streams`,
      ['', 'rho', 'top-1 disagreement', 'entropy / ln P', 'leading share', 'together', 'averaged', 'best alone'],
      streams,
    ),
  ]
}

function equalCost(row: Row, ladder: readonly Row[], currency: keyof Costs): string {
  if (!isWithin(ladder, currency, row.costs[currency])) return `no P = 1 of ${Math.round(row.costs[currency] / 1000)} k`
  return shown(betterAtEqual(row, ladder, currency))
}

/** k of the law, in which P streams are worth k ln P + 1 times the parameters. */
function kOf(worth: Interval, p: number): string {
  const k = (value: number) => (value - 1) / Math.log(p)
  return shown({ value: k(worth.value), low: k(worth.low), high: k(worth.high) }, 2)
}

function streamFigures(runs: readonly Record[]): string[] {
  const of = (figure: (streams: StreamFigures) => number, digits: number) =>
    runs.map(({ streams }) => figure(streams!).toFixed(digits)).join(', ')
  return [
    of(({ rho }) => rho, 3),
    of(({ disagreement }) => disagreement, 2),
    of(({ entropy }) => entropy, 2),
    of(({ leadingShare }) => leadingShare, 2),
    of(({ together }) => together, 3),
    of(({ average }) => average, 3),
    of(({ alone }) => Math.min(...alone), 3),
  ]
}

const shown = ({ value, low, high }: Interval, digits = 4): string =>
  `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`

const table = (title: string, heads: readonly string[], lines: readonly string[]): string =>
  [title, '', `| ${heads.join(' | ')} |`, `|${'---|'.repeat(heads.length)}`, ...lines.map((line) => `| ${line} |`)].join('\n')
