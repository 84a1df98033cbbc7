/** A chart of lines, dots and bands over two scales, in SVG: as sharp in print as on a phone, and every mark an element. */
import { scaleLinear, scaleLog } from 'd3-scale'
import { area, line } from 'd3-shape'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { inTurn } from '../in-turn.ts'

export type XY = readonly [x: number, y: number]
export interface ChartSeries {
  readonly name: string
  readonly colour: string
  readonly line?: readonly XY[]
  readonly dots?: readonly XY[]
  readonly band?: readonly (readonly [x: number, low: number, high: number])[]
  readonly dashed?: boolean
  /** Radius of the dots. Default 3.5. */
  readonly radius?: number
}
export interface ChartScales {
  readonly x: (value: number) => number
  readonly y: (value: number) => number
  readonly invertX: (pixels: number) => number
  readonly invertY: (pixels: number) => number
  readonly width: number
  readonly height: number
  readonly plot: { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number }
}

export interface XyChartProps {
  readonly label: string
  readonly series: readonly ChartSeries[]
  readonly x: {
    readonly label: string
    readonly log?: boolean
    readonly domain: readonly [number, number]
    readonly format?: (value: number) => string
    readonly ticks?: readonly number[]
  }
  readonly y: {
    readonly label: string
    readonly log?: boolean
    readonly domain: readonly [number, number]
    readonly format?: (value: number) => string
    readonly ticks?: readonly number[]
  }
  readonly height?: number
  readonly under?: (scales: ChartScales) => ComponentChildren
  readonly over?: (scales: ChartScales) => ComponentChildren
}

export function XyChart({ label, series, x, y, height = 380, under, over }: XyChartProps) {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = box.current!
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    // Its room is there: the drawing may come later than the words around it.
    const cancel = inTurn(() => {
      setWidth(element.clientWidth)
      observer.observe(element)
    })
    return () => {
      cancel()
      observer.disconnect()
    }
  }, [])
  const plot = { left: 54, top: 26, right: Math.max(120, width - 14), bottom: height - 44 }
  const scale = (log: boolean | undefined, domain: readonly [number, number], range: [number, number]) =>
    (log ? scaleLog() : scaleLinear()).domain([...domain]).range(range)
  const sx = scale(x.log, x.domain, [plot.left, plot.right])
  const sy = scale(y.log, y.domain, [plot.bottom, plot.top])
  const px = (value: number) => sx(value) ?? 0
  const py = (value: number) => sy(value) ?? 0
  const count = Math.max(3, Math.floor(width / 110))
  const xTicks = x.ticks ?? (x.log ? logTicks(x.domain, count) : sx.ticks(count))
  const yTicks = y.ticks ?? (y.log ? logTicks(y.domain, 6) : sy.ticks(6))
  const scales: ChartScales = { x: px, y: py, invertX: (v) => sx.invert(v), invertY: (v) => sy.invert(v), width, height, plot }
  const draw = line<XY>(
    ([a]) => px(a),
    ([, b]) => py(b),
  )
  const clip = `clip-${label.replace(/\W/g, '')}`
  return (
    <div ref={box} style={{ height: `${height}px`, minWidth: 0 }}>
      {width > 0 && (
        <svg class="chart" role="img" aria-label={label} width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
          <defs>
            <clipPath id={clip}>
              <rect x={plot.left} y={plot.top - 6} width={plot.right - plot.left + 8} height={plot.bottom - plot.top + 6} />
            </clipPath>
          </defs>
          <g clip-path={`url(#${clip})`}>{under?.(scales)}</g>
          {yTicks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={plot.left} x2={plot.right} y1={py(tick)} y2={py(tick)} />
              <text x={plot.left - 8} y={py(tick) + 4} text-anchor="end">
                {(y.format ?? String)(tick)}
              </text>
            </g>
          ))}
          {xTicks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={px(tick)} x2={px(tick)} y1={plot.bottom} y2={plot.bottom + 5} />
              <text x={px(tick)} y={plot.bottom + 19} text-anchor="middle">
                {(x.format ?? String)(tick)}
              </text>
            </g>
          ))}
          <text x={plot.right} y={height - 6} text-anchor="end">
            {x.label}
          </text>
          <text x={0} y={11}>
            {y.label}
          </text>
          <g clip-path={`url(#${clip})`}>
            {series.map(({ name, colour, band }) =>
              band ? (
                <path
                  key={name}
                  fill={colour}
                  opacity="0.16"
                  d={
                    area<readonly [number, number, number]>(
                      ([a]) => px(a),
                      ([, low]) => py(low),
                      ([, , high]) => py(high),
                    )([...band]) ?? ''
                  }
                />
              ) : null,
            )}
            {series.map(({ name, colour, line: points, dashed }) =>
              points ? (
                <path
                  key={name}
                  d={draw([...points]) ?? ''}
                  fill="none"
                  stroke={colour}
                  stroke-width="2"
                  stroke-dasharray={dashed ? '5 4' : undefined}
                />
              ) : null,
            )}
            {series.map(({ name, colour, dots, radius = 3.5 }) =>
              dots?.map(([a, b]) => (
                <circle
                  key={`${name} ${a} ${b}`}
                  cx={px(a)}
                  cy={py(b)}
                  r={radius}
                  fill={colour}
                  stroke="var(--raised)"
                  stroke-width="1"
                >
                  <title>{`${name}: ${(x.format ?? String)(a)}, ${b.toPrecision(4)}`}</title>
                </circle>
              )),
            )}
          </g>
          {over?.(scales)}
        </svg>
      )}
    </div>
  )
}

/** 1, 2, 5 and their powers of ten, thinned to about as many as asked for. */
export function logTicks([low, high]: readonly [number, number], count: number): number[] {
  const all: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power
      if (tick >= low * 0.999 && tick <= high * 1.001) all.push(tick)
    }
  if (all.length <= count) return all
  const tens = all.filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6))
  return tens.length >= 3 ? tens : all.filter((_, i) => i % Math.ceil(all.length / count) === 0)
}
