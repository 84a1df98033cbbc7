/**
 * Reads points from CSV or JSON. Columns N, P, loss and, if known, D and weight, in any order and case; lines that are empty or
 * begin with # are skipped. Nothing is guessed: what is not a positive number is reported with its line and column.
 */
import { usageError } from '../errors.ts'
import type { Point } from './points.ts'

const required = ['N', 'P', 'loss'] as const
const columns = [...required, 'D', 'weight'] as const
type Column = (typeof columns)[number]

/** Far more than any study has; keeps a wrong file from being fitted for hours. */
const maxPoints = 100_000

/**
 * Reads points from CSV or JSON text.
 *
 * @param text the whole file @param name how to call it in messages. Throws usage errors.
 */
export function parsePoints(text: string, name: string): Point[] {
  const trimmed = text.replace(/^\uFEFF/, '').trim()
  if (trimmed === '') throw usageError(`${name}: is empty; expected CSV with the columns N, P, loss`, { file: name })
  const records =
    trimmed.startsWith('{') || trimmed.startsWith('[')
      ? jsonRecords(trimmed, name)
      : csvRecords(text.replace(/^\uFEFF/, ''), name)
  if (records.length === 0) throw usageError(`${name}: has a header but no points`, { file: name })
  if (records.length > maxPoints)
    throw usageError(`${name}: has ${records.length} points; at most ${maxPoints} are read`, { file: name })
  const points = records.map((record) => toPoint(record, name))
  refuseDuplicates(records, points, name)
  return points
}

interface RawPoint {
  /** Where it stands, for messages: "line 3" or "point 3". */
  readonly place: string
  /** The column as the file has it, for messages. */
  columnOf(key: Column): string
  /** Text in CSV, any value in JSON; undefined or '' if absent. */
  readonly values: Readonly<Partial<{ [key in Column]: unknown }>>
}

function csvRecords(text: string, name: string): RawPoint[] {
  const lines = text
    .split(/\r\n|\n|\r/)
    .map((line, i) => ({ cells: splitCells(line), number: i + 1, skip: /^\s*(#|$)/.test(line) }))
  const [header, ...rows] = lines.filter(({ skip }) => !skip)
  if (header === undefined) throw usageError(`${name}: has no header; expected the columns N, P, loss`, { file: name })
  const keys = header.cells.map((cell) => columns.find((key) => key.toLowerCase() === cell.toLowerCase()))
  for (const [i, key] of keys.entries()) {
    if (key !== undefined && keys.indexOf(key) !== i) {
      throw usageError(`${name}, line ${header.number}, column ${i + 1}: '${key}' is there twice`, { file: name, found: key })
    }
  }
  for (const key of required) {
    if (!keys.includes(key)) {
      throw usageError(
        `${name}, line ${header.number}: no column '${key}'; expected N, P, loss, optionally D, weight; found ${header.cells.join(', ')}`,
        {
          file: name,
          expected: columns,
          found: header.cells,
        },
      )
    }
  }
  return rows.map(({ cells, number }) => {
    if (cells.length !== keys.length) {
      throw usageError(`${name}, line ${number}: expected ${keys.length} columns as in the header, found ${cells.length}`, {
        file: name,
        expected: keys.length,
        found: cells.length,
      })
    }
    return {
      place: `line ${number}`,
      columnOf: (key) => `column ${keys.indexOf(key) + 1} (${key})`,
      values: Object.fromEntries(keys.flatMap((key, i) => (key === undefined ? [] : [[key, cells[i]!]]))),
    }
  })
}

/** Cells are numbers and names: quotes around a whole cell are taken off, commas inside quotes have no use here. */
const splitCells = (line: string) => line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))

function jsonRecords(text: string, name: string): RawPoint[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw usageError(`${name}: is not valid JSON: ${(cause as Error).message}`, { file: name, cause })
  }
  const list = Array.isArray(parsed) ? parsed : (parsed as { points?: unknown }).points
  if (!Array.isArray(list))
    throw usageError(`${name}: expected an array of points, or an object with an array 'points'`, { file: name })
  return list.map((values: unknown, i) => {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw usageError(
        `${name}, point ${i + 1}: expected an object like {"N": 1e9, "P": 2, "loss": 1.1}, found ${show(values)}`,
        { file: name },
      )
    }
    return { place: `point ${i + 1}`, columnOf: (key) => `'${key}'`, values }
  })
}

function toPoint(record: RawPoint, name: string): Point {
  const read = (key: Column): number | undefined => {
    const raw = record.values[key]
    if (raw === undefined || raw === null || raw === '') {
      if (!(required as readonly string[]).includes(key)) return undefined
      throw usageError(`${name}, ${record.place}, ${record.columnOf(key)}: is missing`, { file: name })
    }
    const value = typeof raw === 'string' ? parseDecimal(raw) : raw
    if (typeof value !== 'number' || !(value > 0 && value < Infinity)) {
      throw usageError(
        `${name}, ${record.place}, ${record.columnOf(key)}: expected a number greater than 0, found ${show(raw)}`,
        {
          file: name,
          expected: 'a number greater than 0',
          found: raw,
        },
      )
    }
    return value
  }
  const [N, P, loss, D, weight] = [read('N')!, read('P')!, read('loss')!, read('D'), read('weight')]
  if (!Number.isInteger(P)) {
    throw usageError(`${name}, ${record.place}, ${record.columnOf('P')}: expected a whole number of streams, found ${P}`, {
      file: name,
      found: P,
    })
  }
  return { N, P, loss, ...(D === undefined ? {} : { D }), ...(weight === undefined ? {} : { weight }) }
}

/** Numbers and the beginning of texts as they are; of anything deeper only the kind, for it may be huge. */
function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** Number() alone would also take '0x10', '' and ' '. */
const parseDecimal = (text: string) => (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN)

function refuseDuplicates(records: readonly RawPoint[], points: readonly Point[], name: string): void {
  const seen = new Map<string, string>()
  for (const [i, { N, P, D }] of points.entries()) {
    const key = `${N} ${P} ${D}`
    const earlier = seen.get(key)
    const { place } = records[i]!
    if (earlier !== undefined) {
      throw usageError(
        `${name}, ${place}: repeats N = ${N}, P = ${P}${D === undefined ? '' : `, D = ${D}`} of ${earlier}; average repeated runs and give them a weight`,
        {
          file: name,
        },
      )
    }
    seen.set(key, place)
  }
}
