/** A curve as columns of block characters, for a terminal: each column is the mean of its part of the values. */

const blocks = ' ▁▂▃▄▅▆▇█'

/**
 * @param values in their order; at least one, finite
 * @param width characters of a line, labels included @param rows lines, at least 2
 */
export function blockChart(values: readonly number[], width: number, rows = 8): string {
  const [low, high] = spreadOf(values)
  const labels = [high.toFixed(3), low.toFixed(3)]
  const labelWidth = Math.max(...labels.map(({ length }) => length))
  const columns = Math.min(values.length, width - labelWidth - 2)
  const means = Array.from({ length: columns }, (_, i) =>
    mean(values, (i * values.length) / columns, ((i + 1) * values.length) / columns),
  )
  // The lowest value is an eighth of a row high: a curve has no gaps.
  const heights = means.map((value) => (high > low ? 1 + Math.round(((value - low) / (high - low)) * (rows * 8 - 1)) : 1))
  const line = (row: number) => heights.map((height) => blocks[Math.max(0, Math.min(8, height - 8 * row))]).join('')
  return Array.from({ length: rows }, (_, i) => {
    const row = rows - 1 - i
    const label = i === 0 ? labels[0]! : row === 0 ? labels[1]! : ''
    return `${label.padStart(labelWidth)} |${line(row)}`.trimEnd()
  }).join('\n')
}

/** Not by Math.min of all, whose arguments a long run would be too many for. */
const spreadOf = (values: readonly number[]): [number, number] =>
  values.reduce<[number, number]>(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity])

function mean(values: readonly number[], from: number, to: number): number {
  const part = values.slice(Math.floor(from), Math.max(Math.floor(from) + 1, Math.floor(to)))
  return part.reduce((sum, value) => sum + value, 0) / part.length
}
