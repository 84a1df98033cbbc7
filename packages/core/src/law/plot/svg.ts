/**
 * Charts as SVG text, in rows of panels. Written out rather than taken from a library: two hundred lines that need no
 * DOM, so that the same picture comes from the terminal, from Node and in a browser. Readers of a dark page see it dark.
 */
import { type Chart, type LegendEntry, type Scale, type Series, scalesOf } from './chart.ts'
import { type Box, dash, drawSeries, grey, type Ink, inks, place, shape, text } from './svg-series.ts'

/** Named before the generic family, which a renderer without font configuration may take for a serif one. */
const fonts = 'Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif'

/** The colours of light pages are in the attributes too, for renderers that read no style sheet. */
const style = `@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}.halo{stroke:#0d1117}}`

const plot = { left: 76, top: 44, width: 494, height: 340 } as const
const panelHeight = plot.top + plot.height + 56
/** Beside the plot: room for the longest name, at about seven units a letter. */
const legendWidth = (charts: readonly Chart[]) =>
  Math.max(150, ...charts.flatMap((chart) => legendOf(chart).map(({ name }) => 50 + 7.2 * name.length)))

/** A complete SVG document. @param columns panels side by side */
export function renderSvg(charts: readonly Chart[], columns = 1): string {
  const panelWidth = Math.ceil(plot.left + plot.width + legendWidth(charts))
  const [width, height] = [panelWidth * columns, panelHeight * Math.ceil(charts.length / columns)]
  const panels = charts.map((chart, i) => {
    const [left, top] = [panelWidth * (i % columns), panelHeight * Math.floor(i / columns)]
    return `<g transform="translate(${left} ${top})">\n${drawChart(chart)}\n</g>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${fonts}" font-size="13" role="img">`,
    `<style>${style}</style>`,
    `<rect class="page" width="100%" height="100%" fill="white"/>`,
    ...panels,
    '</svg>\n',
  ].join('\n')
}

function drawChart(chart: Chart): string {
  const { x, y } = scalesOf(chart)
  const box: Box = { ...plot, x, y }
  const ink = inks(chart)
  return [
    text(plot.left, 24, chart.title, 'font-size="15" font-weight="bold"'),
    ...x.ticks.map((tick) => xTick(tick, x)),
    ...y.ticks.map((tick) => yTick(tick, y)),
    `<rect x="${plot.left}" y="${plot.top}" width="${plot.width}" height="${plot.height}" fill="none" stroke="#888"/>`,
    text(plot.left + plot.width / 2, panelHeight - 14, chart.x.label, 'text-anchor="middle"'),
    text(0, 0, chart.y.label, `text-anchor="middle" transform="translate(18 ${plot.top + plot.height / 2}) rotate(-90)"`),
    ...chart.series.map((series) => drawSeries(chart, series, ink(series), box)),
    ...(chart.notes ?? []).map(({ at, text: words }) => {
      const [cx, cy] = place(at, box)
      const left = cx > plot.left + plot.width * 0.6
      const halo = 'class="halo" font-size="12" font-weight="bold" stroke="white" stroke-width="3" paint-order="stroke"'
      return `<circle cx="${cx}" cy="${cy}" r="7" fill="none" stroke="${grey}" stroke-width="1.5"/>${text(cx + (left ? -11 : 11), cy + (left ? 10 : -4), words, `text-anchor="${left ? 'end' : 'start'}" ${halo}`)}`
    }),
    ...legendOf(chart).map((entry, i) => legendLine(entry, ink(entry), i)),
  ].join('\n')
}

function xTick(value: number, scale: Scale): string {
  const at = Math.round((plot.left + plot.width * scale.place(value)) * 100) / 100
  const bottom = plot.top + plot.height
  return `<path class="grid" d="M${at} ${plot.top}V${bottom}" stroke="#ddd"/>${text(at, bottom + 18, scale.label(value), 'text-anchor="middle"')}`
}

function yTick(value: number, scale: Scale): string {
  const at = Math.round((plot.top + plot.height * (1 - scale.place(value))) * 100) / 100
  return `<path class="grid" d="M${plot.left} ${at}H${plot.left + plot.width}" stroke="#ddd"/>${text(plot.left - 6, at + 4, scale.label(value), 'text-anchor="end"')}`
}

/** What was given, or every series that has no label of its own; equal names once. */
function legendOf({ legend, series }: Chart): readonly (LegendEntry | Series)[] {
  const listed = legend ?? series.filter(({ endLabel }) => endLabel === undefined)
  return listed.filter(({ name }, i) => listed.findIndex((other) => other.name === name) === i)
}

function legendLine(entry: LegendEntry | Series, ink: Ink, i: number): string {
  const [left, middle] = [plot.left + plot.width + 16, plot.top + 10 + 20 * i]
  const has = (mark: LegendEntry['mark'], key: 'line' | 'dots' | 'bars') =>
    'mark' in entry ? entry.mark === mark : (entry as Series)[key] !== undefined
  return [
    has('line', 'line') ? `<path d="M${left} ${middle}h24" stroke="${ink.color}" stroke-width="2"${dash(ink)}/>` : '',
    has('dot', 'dots') ? shape(left + 12, middle, ink) : '',
    has('bar', 'bars') ? `<rect x="${left + 5}" y="${middle - 5}" width="14" height="10" fill="${ink.color}"/>` : '',
    text(left + 31, middle + 4, entry.name),
  ].join('')
}
