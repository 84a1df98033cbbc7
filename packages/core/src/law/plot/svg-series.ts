/** One series in SVG: its colour, shape and dash, and its line, dots, bars and band. */
import { barSlot, type Chart, type Look, type Scale, type Series, type XY } from './chart.ts'

/** The plotting area: left, top, width and height in SVG's units, and the scales over it. */
export interface Box {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
  readonly x: Scale
  readonly y: Scale
}

/** How a series is drawn: a colour as CSS, places in the lists of shapes and dashes. */
export interface Ink {
  readonly color: string
  readonly shape: number
  readonly dash: number
}

export const grey = '#555566'

/**
 * M. Okabe and K. Ito's colours (2008), which the colour-blind can tell apart; their yellow and black, each invisible on
 * one kind of page, are replaced by a dark red and a violet.
 */
export const palette = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#881111', '#8833ff'] as const

/** Five steps of the viridis colour map (S. van der Walt, N. Smith), for steps of one thing. */
const viridis = ['#440154', '#3b528b', '#21918c', '#5ec962', '#c8b020'] as const

const dashes = ['', '7 3', '2 3', '9 3 2 3'] as const

/** Gives every series of a chart, and every entry of its legend, the ink it asks for, or one of its own. */
export function inks(chart: Chart): (look: Look & { readonly name: string }) => Ink {
  const foreground = chart.series.filter(({ background }) => background !== true)
  const steps = foreground.filter(({ endLabel }) => endLabel !== undefined)
  return (look) => {
    const place = foreground.findIndex(({ name }) => name === look.name)
    const own = Math.max(0, place)
    const color = look.color ?? own
    const step = steps.indexOf(look as Series)
    const shade = viridis[Math.round((step / Math.max(1, steps.length - 1)) * (viridis.length - 1))]
    return {
      color: look.background ? grey : step >= 0 && look.color === undefined ? shade! : palette[color % palette.length]!,
      shape: look.shape ?? color,
      dash: look.dash ?? (look.background ? 1 : step >= 0 ? 0 : Math.floor(color / palette.length)),
    }
  }
}

export function drawSeries(
  chart: Chart,
  { line = [], dots = [], bars = [], band = [], endLabel, name }: Series,
  ink: Ink,
  box: Box,
): string {
  const path = (points: readonly XY[]) => points.map((point) => place(point, box).join(' ')).join('L')
  const parts: string[] = []
  if (band.length > 0) {
    const outline = [...band.map(([x, low]): XY => [x, low]), ...band.toReversed().map(([x, , high]): XY => [x, high])]
    parts.push(`<path d="M${path(outline)}Z" fill="${ink.color}" fill-opacity="0.15"/>`)
  }
  const standing = chart.series.filter(({ bars }) => bars !== undefined)
  const slot = (barSlot(chart) * 0.85) / Math.max(1, standing.length)
  const offset = (standing.findIndex((series) => series.name === name) - standing.length / 2) * slot
  for (const [x, y] of bars) {
    const [left, top] = place([x + offset, y], box)
    const [right, bottom] = place([x + offset + slot, 0], box)
    parts.push(
      `<rect x="${left}" y="${top}" width="${round(right - left)}" height="${round(bottom - top)}" fill="${ink.color}"/>`,
    )
  }
  if (line.length > 0) parts.push(`<path d="M${path(line)}" fill="none" stroke="${ink.color}" stroke-width="1.75"${dash(ink)}/>`)
  for (const dot of dots) parts.push(shape(...place(dot, box), ink))
  const end = line.at(-1)
  if (endLabel !== undefined && end !== undefined) {
    const [x, y] = place(end, box)
    const halo = 'class="halo" font-size="11" stroke="white" stroke-width="3" paint-order="stroke"'
    parts.push(text(x + 4, y + 4, endLabel, halo))
  }
  return parts.join('\n')
}

/** Where a point of the data lies in the picture. */
export const place = ([x, y]: XY, box: Box): [number, number] => [
  round(box.left + box.width * box.x.place(x)),
  round(box.top + box.height * (1 - box.y.place(y))),
]

/** A dot: circle, square, triangle, diamond, triangle upside down, and so on from the start. */
export function shape(x: number, y: number, { color, shape: index }: Ink): string {
  const drawn = [
    'circle',
    'M-3.3-3.3H3.3V3.3H-3.3Z',
    'M0-4.4L4.2 3.2H-4.2Z',
    'M0-4.6L4.6 0L0 4.6L-4.6 0Z',
    'M0 4.4L4.2-3.2H-4.2Z',
    'M-4.2-1.3H-1.3V-4.2H1.3V-1.3H4.2V1.3H1.3V4.2H-1.3V1.3H-4.2Z',
  ]
  const path = drawn[index % drawn.length]!
  return path === 'circle'
    ? `<circle cx="${x}" cy="${y}" r="3.7" fill="${color}"/>`
    : `<path transform="translate(${x} ${y})" d="${path}" fill="${color}"/>`
}

export const dash = ({ dash: index }: Ink) =>
  index === 0 ? '' : ` stroke-dasharray="${dashes[index % dashes.length] || 'none'}"`

export const text = (x: number, y: number, content: string, attributes = '') =>
  `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escapeXml(content)}</text>`
const escapeXml = (content: string) => content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
const round = (value: number) => Math.round(value * 100) / 100
