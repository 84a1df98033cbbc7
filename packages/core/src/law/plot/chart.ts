/** A chart as data: what svg.ts and terminal.ts draw, and where ticks go. */
import { extentOf } from '../../spread.ts'
import { shortNumber } from '../points.ts'

export interface Axis {
  readonly label: string
  readonly scale: 'linear' | 'log'
  /** Where ticks must be; absent: at round values. */
  readonly ticks?: readonly number[]
}

export type XY = readonly [x: number, y: number]

export interface Series {
  readonly name: string
  readonly line?: readonly XY[]
  readonly dots?: readonly XY[]
  /** Area between two curves over the same x. */
  readonly band?: readonly (readonly [x: number, low: number, high: number])[]
  /** Written beside the end of the line instead of in the legend. */
  readonly endLabel?: string
  /** Drawn in grey, without a place in the legend: what the others are to be seen against. */
  readonly background?: boolean
}

export interface Chart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
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
  const xs = pick(({ line = [], dots = [], band = [] }) => [...line, ...dots, ...band].map(([x]) => x))
  const ys = pick(({ line = [], dots = [], band = [] }) => [
    ...[...line, ...dots].map(([, y]) => y),
    ...band.flatMap(([, low, high]) => [low, high]),
  ])
  return { x: makeScale(chart.x, xs), y: makeScale(chart.y, ys) }
}

function makeScale({ scale, ticks: chosen }: Axis, values: readonly number[]): Scale {
  const finite = values.filter(Number.isFinite)
  const [forward, back] = scale === 'log' ? [Math.log, Math.exp] : [(x: number) => x, (x: number) => x]
  let [low, high] = extentOf(finite).map(forward) as [number, number]
  const margin = (high - low || Math.abs(low) || 1) * 0.04
  ;[low, high] = [low - margin, high + margin]
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
