/**
 * Charts as SVG text, in rows of panels. Written out rather than taken from a library: a hundred lines that need no
 * DOM, so that the same picture comes from the terminal, from Node and in a browser.
 */
import { type Chart, type Scale, type Series, scalesOf } from './chart.ts'

const panel = { width: 720, height: 440, left: 76, right: 150, top: 44, bottom: 56 } as const
const plot = { width: panel.width - panel.left - panel.right, height: panel.height - panel.top - panel.bottom }

/** Named before the generic family, which a renderer without font configuration may take for a serif one. */
const fonts = 'Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif'

const grey = '#999999'

/** Five steps of the viridis colour map (S. van der Walt, N. Smith), readable in print and by the colour-blind. */
const viridis = ['#440154', '#3b528b', '#21918c', '#5ec962', '#c8b020'] as const

/** A complete SVG document. @param columns panels side by side */
export function renderSvg(charts: readonly Chart[], columns = 1): string {
  const [width, height] = [panel.width * columns, panel.height * Math.ceil(charts.length / columns)]
  const panels = charts.map((chart, i) => {
    const [left, top] = [panel.width * (i % columns), panel.height * Math.floor(i / columns)]
    return `<g transform="translate(${left} ${top})">\n${drawChart(chart)}\n</g>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${fonts}" font-size="13">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...panels,
    '</svg>\n',
  ].join('\n')
}

function drawChart(chart: Chart): string {
  const { x, y } = scalesOf(chart)
  const foreground = chart.series.filter(({ background }) => background !== true)
  const colors = new Map(foreground.map((series, i) => [series, colorOf(i, foreground.length)]))
  return [
    text(panel.left, 24, chart.title, 'font-size="15" font-weight="bold"'),
    ...x.ticks.map((tick) => xTick(tick, x)),
    ...y.ticks.map((tick) => yTick(tick, y)),
    `<rect x="${panel.left}" y="${panel.top}" width="${plot.width}" height="${plot.height}" fill="none" stroke="#888"/>`,
    text(panel.left + plot.width / 2, panel.height - 14, chart.x.label, 'text-anchor="middle"'),
    text(0, 0, chart.y.label, `text-anchor="middle" transform="translate(18 ${panel.top + plot.height / 2}) rotate(-90)"`),
    ...chart.series.map((series) => drawSeries(series, colors.get(series) ?? grey, x, y)),
    ...legend(colors),
  ].join('\n')
}

const colorOf = (i: number, count: number) => viridis[Math.round((i / Math.max(1, count - 1)) * (viridis.length - 1))]!

const horizontal = (value: number, scale: Scale) => round(panel.left + plot.width * scale.place(value))
const vertical = (value: number, scale: Scale) => round(panel.top + plot.height * (1 - scale.place(value)))

function xTick(value: number, scale: Scale): string {
  const at = horizontal(value, scale)
  const bottom = panel.top + plot.height
  return `<path d="M${at} ${panel.top}V${bottom}" stroke="#ddd"/>${text(at, bottom + 18, scale.label(value), 'text-anchor="middle"')}`
}

function yTick(value: number, scale: Scale): string {
  const at = vertical(value, scale)
  return `<path d="M${panel.left} ${at}H${panel.left + plot.width}" stroke="#ddd"/>${text(panel.left - 6, at + 4, scale.label(value), 'text-anchor="end"')}`
}

function drawSeries({ line = [], dots = [], band = [], endLabel }: Series, color: string, x: Scale, y: Scale): string {
  const path = (points: readonly (readonly [number, number])[]) =>
    points.map(([px, py]) => `${horizontal(px, x)} ${vertical(py, y)}`).join('L')
  const parts: string[] = []
  if (band.length > 0) {
    const outline = [
      ...band.map(([px, low]) => [px, low] as const),
      ...band.toReversed().map(([px, , high]) => [px, high] as const),
    ]
    parts.push(`<path d="M${path(outline)}Z" fill="${color}" fill-opacity="0.15"/>`)
  }
  if (line.length > 0) parts.push(`<path d="M${path(line)}" fill="none" stroke="${color}" stroke-width="1.5"/>`)
  for (const [px, py] of dots) parts.push(`<circle cx="${horizontal(px, x)}" cy="${vertical(py, y)}" r="3.5" fill="${color}"/>`)
  const end = line.at(-1)
  if (endLabel !== undefined && end !== undefined)
    parts.push(text(horizontal(end[0], x) + 4, vertical(end[1], y) + 4, endLabel, `fill="${color}" ${halo}`))
  return parts.join('\n')
}

function legend(colors: ReadonlyMap<Series, string>): string[] {
  const left = panel.left + plot.width + 16
  const listed = [...colors].filter(([{ endLabel }]) => endLabel === undefined)
  return listed.map(([{ name }, color], i) => {
    const top = panel.top + 14 + 20 * i
    return `<circle cx="${left}" cy="${top - 4}" r="4" fill="${color}"/>${text(left + 10, top, name)}`
  })
}

/** Small writing with a white edge, readable across lines and dots. */
const halo = 'font-size="11" stroke="white" stroke-width="3" paint-order="stroke"'

const text = (x: number, y: number, content: string, attributes = '') =>
  `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escapeXml(content)}</text>`
const escapeXml = (content: string) => content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
const round = (value: number) => Math.round(value * 100) / 100
