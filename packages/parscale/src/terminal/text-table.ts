/** Tables of text: columns aligned, numbers to the right; in a narrow terminal columns are dropped, wrapped, or moved below. */
import { wrapWords } from './wrap.ts'

const gap = 2
const numeric = /^([-+]?[\d.]+(e[-+]?\d+)?( ?[%a-z]+)?|-|none|)$/i
/** Text is not wrapped into columns narrower than this. */
const narrowest = 12

export interface TableSpace {
  /** Of a line. Default: as wide as it gets. */
  readonly width?: number | undefined
  /** Heads of the columns that can be done without where there is no room, the least important first. */
  readonly drop?: readonly string[]
  /** So many first columns say what a row is, and are repeated in further tables. Default 1. */
  readonly keys?: number
}

interface Column {
  readonly cells: readonly string[]
  readonly isNumeric: boolean
  readonly width: number
}

/**
 * The first row is the head. A column is right-aligned where every cell below the head looks like a number.
 *
 * What does not fit into the width: first the columns of `drop` are left out; then text is wrapped at words; then the last columns go
 * into further tables below, each with the columns that say what a row is. A number is never cut.
 */
export function textTable(
  rows: readonly (readonly string[])[],
  { width = Infinity, drop = [], keys = 1 }: TableSpace = {},
): string {
  let columns = rows[0]!.map((_, i) => columnOf(rows.map((row) => row[i]!)))
  for (const head of drop) if (total(columns) > width) columns = columns.filter(({ cells }) => cells[0] !== head)
  const narrow = narrowed(columns, width)
  return (total(narrow) <= width ? [narrow] : folded(columns, keys, width)).map((part) => lines(part)).join('\n')
}

function columnOf(cells: readonly string[]): Column {
  const isNumeric = cells.slice(1).every((cell) => numeric.test(cell))
  return { cells, isNumeric, width: cells.reduce((most, { length }) => Math.max(most, length), 0) }
}

const total = (columns: readonly Column[]) => columns.reduce((sum, { width }) => sum + width, gap * (columns.length - 1))

/** Text columns, the widest first, as narrow as is needed; then columns of numbers whose head is wider than they are. */
function narrowed(columns: readonly Column[], width: number): Column[] {
  const result = [...columns]
  const order = [...result].sort((a, b) => Number(a.isNumeric) - Number(b.isNumeric) || b.width - a.width)
  for (const column of order) {
    const over = total(result) - width
    if (over <= 0) break
    const to = Math.max(least(column, width), column.width - over)
    if (to < column.width) result[result.indexOf(column)] = { ...column, width: to }
  }
  return result
}

/** How narrow a column can be: its longest word; of numbers, the longest one whole. */
const least = ({ cells, isNumeric }: Column, width: number): number =>
  isNumeric
    ? Math.max(longestWord(cells.slice(0, 1)), ...cells.slice(1).map(({ length }) => length))
    : Math.max(narrowest, Math.min(longestWord(cells), width))

const longestWord = (cells: readonly string[]) =>
  Math.max(...cells.flatMap((cell) => cell.split(' ')).map(({ length }) => length))

/** Columns that fit beside the keys, and those that do not in further parts. */
function folded(columns: readonly Column[], keys: number, width: number): Column[][] {
  const half = Math.max(narrowest, Math.floor(width / 2))
  const key = columns.slice(0, keys).map((column) => ({ ...column, width: Math.min(column.width, half) }))
  if (keys > 1 && total(key) > half) return folded(columns, keys - 1, width)
  const parts: Column[][] = []
  for (const wide of columns.slice(keys)) {
    const column = wide.isNumeric ? { ...wide, width: least(wide, width) } : wide
    const part = parts.at(-1)
    if (part && total([...part, column]) <= width) part.push(column)
    else parts.push(narrowed([...key, column], width))
  }
  return parts.length > 0 ? parts : [key.map((column, i) => ({ ...column, width: Math.min(columns[i]!.width, width) }))]
}

function lines(columns: readonly Column[]): string {
  return columns[0]!.cells
    .flatMap((_, row) => {
      const cells = columns.map(({ cells, width }) => wrapWords(cells[row]!, width, width, true))
      const height = Math.max(...cells.map(({ length }) => length))
      return Array.from({ length: height }, (_, line) =>
        columns
          .map(({ isNumeric, width }, i) =>
            isNumeric ? (cells[i]![line] ?? '').padStart(width) : (cells[i]![line] ?? '').padEnd(width),
          )
          .join(' '.repeat(gap))
          .trimEnd(),
      )
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** Four significant digits, in powers of ten where the plain form would be long. */
export function significant(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  return value !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)))
}

/** A law's parameter as papers print it: four decimals, or four digits and a power of ten. */
export const parameterText = (value: number): string => (value >= 1e-3 && value < 1e3 ? value.toFixed(4) : significant(value))

/** 0.95 as '95 %'. */
export const percentText = (share: number): string => `${Number((100 * share).toPrecision(4))} %`

export function bytesText(bytes: number): string {
  for (const [unit, name] of [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ] as const) {
    if (bytes >= unit) return `${(bytes / unit).toPrecision(4)} ${name}`
  }
  return `${bytes} B`
}

export function secondsText(seconds: number): string {
  if (seconds >= 1) return `${seconds.toPrecision(4)} s`
  return seconds >= 1e-3 ? `${(seconds * 1e3).toPrecision(4)} ms` : `${(seconds * 1e6).toPrecision(4)} us`
}
