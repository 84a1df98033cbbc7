/** Charts as text for a terminal: the same data as svg.ts, a character a cell. */
import { type Chart, scalesOf } from './chart.ts'

/** Marks of the dots, one for each name, in their order; lines are drawn as points. */
const marks = 'ox+*#@%&'

/** @param columns width of the whole picture, labels included @param rows height of the plotting area */
export function renderTerminal(chart: Chart, columns = 78, rows = 20): string {
  const { x, y } = scalesOf(chart)
  const labelWidth = Math.max(...y.ticks.map((tick) => y.label(tick).length)) + 1
  const width = Math.max(20, columns - labelWidth - 2)
  const cells = Array.from({ length: rows }, () => new Array<string>(width).fill(' '))
  const column = (value: number) => Math.round(x.place(value) * (width - 1))
  const row = (value: number) => Math.round((1 - y.place(value)) * (rows - 1))
  const put = (px: number, py: number, mark: string) => {
    const line = cells[row(py)]
    if (line !== undefined && column(px) >= 0 && column(px) < width) line[column(px)] = mark
  }
  for (const { line = [] } of chart.series) for (const [px, py] of line) put(px, py, '·')
  const names = [...new Set(chart.series.map(({ name }) => name))]
  for (const { name, dots = [] } of chart.series) for (const [px, py] of dots) put(px, py, markOf(names.indexOf(name)))

  const yLabels = new Map(y.ticks.map((tick) => [row(tick), y.label(tick)]))
  const xLabels = new Array<string>(width).fill(' ')
  for (const tick of x.ticks) {
    const label = x.label(tick)
    const start = Math.min(Math.max(0, column(tick) - Math.floor(label.length / 2)), width - label.length)
    if (xLabels.slice(Math.max(0, start - 1), start + label.length + 1).every((cell) => cell === ' '))
      xLabels.splice(start, label.length, ...label)
  }
  const named = names.flatMap((name, i) =>
    chart.series.some((series) => series.name === name && series.dots !== undefined) ? [`${markOf(i)} ${name}`] : [],
  )
  return [
    `${chart.title}: ${chart.y.label} against ${chart.x.label}`,
    ...cells.map((line, i) => `${(yLabels.get(i) ?? '').padStart(labelWidth)} |${line.join('').trimEnd()}`),
    `${' '.repeat(labelWidth)} +${'-'.repeat(width)}`,
    `${' '.repeat(labelWidth + 2)}${xLabels.join('').trimEnd()}`,
    ...(named.length > 0 ? [`${' '.repeat(labelWidth + 2)}${named.join('   ')}`] : []),
    '',
  ].join('\n')
}

const markOf = (i: number) => marks[i % marks.length]!
