/** A chart as data: what svg.ts and terminal.ts draw, and where ticks go. */
import { extentOf } from '../../spread.ts'
import { shortNumber } from '../points.ts'

export interface Axis {
  readonly label: string
  readonly scale: 'linear' | 'log'
  /** Where ticks must be; absent: at round values. */
  readonly ticks?: readonly number[]
  /** The axis begins at 0, for lengths that are to be compared with each other. */
  readonly fromZero?: true
}

export type XY = readonly [x: number, y: number]

/** How a series looks, as places in the lists of colours, shapes and dashes. Absent: a colour of its own, and the shape that goes with it. */
export interface Look {
  readonly color?: number | undefined
  readonly shape?: number | undefined
  readonly dash?: number | undefined
  /** Drawn in grey: what the others are to be seen against. */
  readonly background?: boolean
}

export interface Series extends Look {
  readonly name: string
  readonly line?: readonly XY[]
  readonly dots?: readonly XY[]
  /** Upright, from 0, beside those of the other series at the same x. On a linear x axis. */
  readonly bars?: readonly XY[]
  /** Area between two curves over the same x. */
  readonly band?: readonly (readonly [x: number, low: number, high: number])[]
  /** Written beside the end of the line instead of in the legend; these series are shades of one colour, as they are steps of one thing. */
  readonly endLabel?: string
}

/** A line of the legend, where it is not simply the list of series. */
export interface LegendEntry extends Look {
  readonly name: string
  readonly mark: 'line' | 'dot' | 'bar'
}

export interface Chart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  readonly legend?: readonly LegendEntry[]
  /** Words at a point, with a ring around it. */
  readonly notes?: readonly { readonly at: XY; readonly text: string }[]
}

/** Maps an axis onto [0, 1], with ticks inside it. */
export interface Scale {
  readonly ticks: readonly number[]
  label(tick: number): string
  place(value: number): number
  /** Inverse of `place`. */
  at(share: number): number
}

export function scalesOf(chart: Chart): { x: Scale; y: Scale } {
  const pick = (of: (series: Series) => readonly number[]) => chart.series.flatMap((series) => [...of(series)])
  const half = barSlot(chart) / 2
  const xs = pick(({ line = [], dots = [], bars = [], band = [] }) => [
    ...[...line, ...dots, ...band].map(([x]) => x),
    ...bars.flatMap(([x]) => [x - half, x + half]),
  ])
  const ys = pick(({ line = [], dots = [], bars = [], band = [] }) => [
    ...[...line, ...dots, ...bars].map(([, y]) => y),
    ...band.flatMap(([, low, high]) => [low, high]),
  ])
  const standing = chart.series.some(({ bars }) => bars !== undefined)
  return { x: makeScale(chart.x, xs), y: makeScale(standing ? { ...chart.y, fromZero: true } : chart.y, ys) }
}

/** Room on the x axis for the bars at one x: the least distance between neighbours. */
export function barSlot({ series }: Chart): number {
  const xs = [...new Set(series.flatMap(({ bars = [] }) => bars.map(([x]) => x)))].sort((a, b) => a - b)
  return xs.length === 0 ? 0 : xs.slice(1).reduce((least, x, i) => Math.min(least, x - xs[i]!), xs.length === 1 ? 1 : Infinity)
}

function makeScale({ scale, ticks: chosen, fromZero }: Axis, values: readonly number[]): Scale {
  const finite = values.filter(Number.isFinite)
  const [forward, back] = scale === 'log' ? [Math.log, Math.exp] : [(x: number) => x, (x: number) => x]
  let [low, high] = extentOf(fromZero ? [...finite, 0] : finite).map(forward) as [number, number]
  const margin = (high - low || Math.abs(low) || 1) * 0.04
  ;[low, high] = [fromZero && low === 0 ? 0 : low - margin, high + margin]
  const ticks = chosen ?? (scale === 'log' ? logTicks : linearTicks)(back(low), back(high))
  const decimals = Math.max(0, ...ticks.map((tick) => (tickText(tick).split('.')[1] ?? '').length))
  return {
    ticks,
    label: (tick) => (scale === 'linear' && Math.abs(tick) < 1e6 ? tick.toFixed(decimals) : tickText(tick)),
    place: (value) => (forward(value) - low) / (high - low),
    at: (share) => back(low + share * (high - low)),
  }
}

/** 1, 2 and 5 times powers of ten; the powers alone where that would be more than nine, more steps where fewer than four. */
function logTicks(low: number, high: number): number[] {
  const ticks = (factors: readonly number[]) => {
    const found: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const factor of factors) {
        const value = factor * 10 ** power
        if (value >= low && value <= high) found.push(value)
      }
    }
    return found
  }
  const usual = ticks([1, 2, 5])
  if (usual.length > 9) return ticks([1])
  return usual.length < 4 ? ticks([1, 1.5, 2, 3, 5, 7]) : usual
}

/** About six multiples of 1, 2 or 5 times a power of ten. */
function linearTicks(low: number, high: number): number[] {
  const rough = (high - low) / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(low / step)
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

const tickText = (value: number) => (Math.abs(value) >= 1e6 ? shortNumber(value) : String(Number(value.toPrecision(6))))
