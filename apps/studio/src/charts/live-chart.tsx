/** A curve that grows: uPlot, which draws on a canvas, with the page's colours and a line of words for who cannot see it. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { cssVariable, painted } from '../theme.ts'

export interface LiveSeries {
  readonly name: string
  readonly colour: string
  readonly width?: number
  readonly points?: boolean
}

export interface LiveChartProps {
  readonly label: string
  /** Steps, then a column for each series; null where it has no value. */
  readonly data: readonly (readonly (number | null)[])[]
  readonly series: readonly LiveSeries[]
  readonly range?: readonly [number, number]
}

/** Digits behind the point that tell marks apart which are so far from each other. */
function digitsOf(increment: number): number {
  let digits = 0
  while (digits < 8 && Math.abs(increment * 10 ** digits - Math.round(increment * 10 ** digits)) > 1e-6) digits++
  return digits
}

export function LiveChart({ label, data, series, range }: LiveChartProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const shape = `${series.map(({ name, colour }) => name + colour).join()} ${painted.value}`
  useEffect(() => {
    const element = box.current!
    const ink = cssVariable('--soft')
    const axis = {
      stroke: ink,
      font: "12px 'Inter', ui-sans-serif, system-ui, sans-serif",
      grid: { stroke: cssVariable('--line'), width: 1 },
      ticks: { show: false },
    }
    plot.current = new uPlot(
      {
        width: Math.max(100, element.clientWidth),
        height: 210,
        legend: { show: false },
        cursor: { drag: { x: true, y: false } },
        scales: { x: { time: false }, ...(range && { y: { range: [...range] } }) },
        axes: [
          { ...axis, size: 26, label: 'step', labelSize: 18, labelFont: axis.font, labelGap: 0 },
          {
            ...axis,
            size: (_plot, texts) => Math.max(52, 14 + 7 * Math.max(...(texts ?? []).map(({ length }) => length))),
            values: (_plot, splits, _axis, _space, increment) => splits.map((value) => value.toFixed(digitsOf(increment))),
          },
        ],
        series: [
          {},
          ...series.map(({ name, colour, width = 2, points = false }) => ({
            label: name,
            stroke: colour,
            width,
            spanGaps: true,
            points: { show: points, size: 5, fill: colour },
          })),
        ],
      },
      data as unknown as uPlot.AlignedData,
      element,
    )
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(100, element.clientWidth), height: 210 }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      plot.current?.destroy()
    }
  }, [shape])
  useEffect(() => {
    plot.current?.setData(data as unknown as uPlot.AlignedData)
  }, [data])
  const last = series
    .map(({ name }, i) => {
      const value = data[i + 1]?.findLast((each) => each !== null)
      return value === undefined || value === null ? undefined : `${name} ${value.toPrecision(4)}`
    })
    .filter((text) => text !== undefined)
  return (
    <div>
      <div ref={box} class="live" role="img" aria-label={`${label}. Last: ${last.join(', ') || 'nothing yet'}`} />
    </div>
  )
}
