/** Tables of text: columns aligned, numbers to the right. */

/** The first row is the head. A column is right-aligned where every cell below the head looks like a number. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]!.map((_, column) => rows.map((row) => row[column]!))
  const widths = columns.map((cells) => cells.reduce((most, { length }) => Math.max(most, length), 0))
  const numeric = columns.map((cells) =>
    cells.slice(1).every((cell) => /^([-+]?[\d.]+(e[-+]?\d+)?( ?[%a-z]+)?|-|none|)$/i.test(cell)),
  )
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join('  ')
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('')
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
