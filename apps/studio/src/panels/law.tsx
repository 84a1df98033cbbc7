/** The law: what P streams are worth in parameters, by the paper's own points or the reader's. Fits run in the page. */

// Built in one with core: of a curve's points only the loss is wanted, without warnings and intervals.
import { lossAt } from '@parscale/core/internal/law'
import {
  equivalentParameters,
  type Fit,
  laws,
  type Point,
  parameterIntervals,
  parsePoints,
  predictLoss,
} from '@parscale/core/law'
import { useSignal } from '@preact/signals'
import { contours } from 'd3-contour'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Legend } from '../charts/legend.tsx'
import { type ChartScales, XyChart } from '../charts/xy-chart.tsx'
import { inTurn } from '../in-turn.ts'
import { bytes, css, extent, short } from '../streams.ts'
import { Button, Drop, Later, PanelHead, Segments, sentence } from '../ui.tsx'
import { fitted, lawName, own, refit, refitsWanted, type Source, source, takePoints, thetas } from './law-fits.ts'

const shownP = [1, 2, 4, 8]
/** Of a file of points. */
const mostBytes = 8e6
/** A hue for each P, apart from each other on both grounds. */
const colourOf = (p: number) => css([4, 0, 2, 5, 6, 1][Math.round(Math.log2(p)) % 6]!)

const example = 'N,P,loss\n0.5e9,1,1.172\n0.5e9,4,1.135\n1.1e9,1,1.113\n1.1e9,4,1.081\n2.8e9,1,1.045\n2.8e9,4,1.013\n'

export function LawPanel() {
  const fit = fitted.value
  const problem = useSignal('')
  const pasted = useSignal('')
  const asked = useSignal({ N: 1.57e9, P: 8 })
  useEffect(() => (fit instanceof Error ? undefined : refit(fit)), [fit])

  const busy = useSignal('')
  const read = async (text: string, name: string) => {
    problem.value = ''
    try {
      const points = parsePoints(text, name)
      busy.value = `${points.length} points are fitted.`
      await takePoints(name, points)
    } catch (error) {
      // It begins with the name of what was read.
      problem.value = (error as Error).message
    }
    busy.value = ''
  }
  return (
    <div class="panel">
      <PanelHead name="law" />
      <div class="row">
        <div class="field">
          <label for="points">Points</label>
          <select
            id="points"
            value={source.value}
            onChange={(event) => {
              source.value = event.currentTarget.value as Source
            }}
          >
            <option value="stack-v2-python">Stack-V2-Python, published</option>
            <option value="pile">Pile, published</option>
            {own.value && <option value="own">Your own</option>}
          </select>
        </div>
        <Segments
          label="Law"
          name="law"
          value={lawName.value}
          options={[
            ['log', 'k ln P + 1'],
            ['correlation', 'constant ρ'],
            ['power', 'N alone'],
          ]}
          onChange={(value) => (lawName.value = value as typeof lawName.value)}
        />
      </div>
      {fit instanceof Error ? (
        <p class="message" role="alert">
          {sentence(fit.message)}. Choose another law or other points.
        </p>
      ) : (
        <Fitted asked={asked} />
      )}
      <section class="block" aria-labelledby="own-title">
        <h2 id="own-title">Your own points</h2>
        <p class="note">
          CSV with the columns N, P and loss, optionally D and weight; or JSON. They stay in this page. A fit of three parameters
          or four needs more points than that, of several N and several P.
        </p>
        <Drop
          label="Choose a file"
          accept=".csv,.json,text/csv,application/json"
          onFiles={async ([file]) => {
            if (file!.size > mostBytes)
              problem.value = `${file!.name} has ${bytes(file!.size)}; points of a law have some kilobytes, and at most ${bytes(mostBytes)} are read here`
            else await read(await file!.text(), file!.name)
          }}
        >
          or drop it here
        </Drop>
        <div class="field">
          <label for="csv">or paste it</label>
          <textarea
            id="csv"
            rows={7}
            placeholder={example}
            value={pasted.value}
            onInput={(event) => (pasted.value = event.currentTarget.value)}
          />
        </div>
        <div class="row middle">
          <Button disabled={pasted.value.trim() === ''} onClick={() => void read(pasted.value, 'the pasted text')}>
            Fit these points
          </Button>
          <span class="note" role="status">
            {busy.value}
            {busy.value === '' && own.value && source.value === 'own' && `${own.value.points.length} points read.`}
          </span>
        </div>
        {problem.value && (
          <p class="message" role="alert">
            {problem.value}. The points before stay.
          </p>
        )}
      </section>
    </div>
  )
}

function Fitted({ asked }: { asked: ReturnType<typeof useSignal<{ N: number; P: number }>> }) {
  const fit = fitted.value
  if (fit instanceof Error) return null
  const { points } = fit
  const [lowN, highN] = extent(points.map(({ N }) => N))
  const [low, high] = [lowN / 1.6, highN * 2.4]
  const { N, P } = asked.value!
  const at = { N: Math.min(high, Math.max(low, N)), P }
  const loss = predictLoss(fit, at, thetas.value)
  const equal = equivalentParameters(fit, at, thetas.value)
  const ps = useMemo(() => [...new Set([...shownP, ...points.map((point) => point.P)])].sort((a, b) => a - b), [points])
  const grid = useMemo(() => logRange(low, high, 40), [low, high])
  const bands = useBands(fit, ps, grid)
  const series = useMemo(
    () =>
      ps.map((p) => {
        const band = bands?.get(p)
        return {
          name: `P = ${p}`,
          colour: colourOf(p),
          line: grid.map((n) => [n, lossAt(fit.law, fit.theta, { N: n, P: p })] as const),
          dots: points.filter((point) => point.P === p).map((point) => [point.N, point.loss] as const),
          ...(band && { band }),
        }
      }),
    [fit, ps, grid, bands],
  )
  const losses = [...points.map((point) => point.loss), ...series.flatMap(({ line }) => line.map(([, y]) => y))]
  const [least, most] = extent(losses)
  const move = (next: { N?: number; P?: number }) => {
    asked.value = { ...asked.value!, ...next }
  }
  const interval = (found: { interval: { low: number; high: number } | undefined }, format: (value: number) => string) =>
    found.interval && `${format(found.interval.low)} to ${format(found.interval.high)}`
  const factor = equal.value / at.N
  return (
    <>
      <section class="block" aria-labelledby="curves-title">
        <h2 id="curves-title">Loss over N</h2>
        <p class="answer" aria-live="polite">
          <strong>{short(at.N)}</strong> parameters with <strong>P = {trim(at.P)}</strong> have the loss{' '}
          <strong>{loss.value.toFixed(4)}</strong>, as a model of P = 1 with{' '}
          {equal.value === Infinity ? 'no size at all' : <strong>{short(equal.value)}</strong>}
          {Number.isFinite(factor) && at.P > 1 && <>: {factor.toFixed(2)} times as many.</>}
        </p>
        {/* They come later than the answer, and move nothing. */}
        <p class="note intervals">
          {interval(loss, String) && (
            <>
              95% of the refits: loss {interval(loss, (value) => value.toFixed(4))}
              <br />P = 1 with {interval(equal, short)}
            </>
          )}
        </p>
        <div class="two">
          <div class="field">
            <label for="ask-n">N, parameters: {short(at.N)}</label>
            <input
              id="ask-n"
              type="range"
              min={Math.log(low)}
              max={Math.log(high)}
              step={0.005}
              value={Math.log(at.N)}
              aria-valuetext={short(at.N)}
              onInput={(event) => move({ N: Math.exp(event.currentTarget.valueAsNumber) })}
            />
          </div>
          <div class="field">
            <label for="ask-p">P, streams: {trim(at.P)}</label>
            <input
              id="ask-p"
              type="range"
              min={0}
              max={5}
              step={0.05}
              value={Math.log2(at.P)}
              aria-valuetext={trim(at.P)}
              onInput={(event) => move({ P: 2 ** event.currentTarget.valueAsNumber })}
            />
          </div>
        </div>
        <XyChart
          label={`Loss over parameters for ${ps.map((p) => `P = ${p}`).join(', ')}, with the asked point`}
          series={series}
          x={{ label: 'N, non-embedding parameters', log: true, domain: [low, high], format: short }}
          y={{
            label: 'loss, nats a token',
            domain: [least - 0.04 * (most - least), most + 0.03 * (most - least)],
            format: (value) => value.toFixed(2),
          }}
          height={400}
          over={(scales) => (
            <Handle
              scales={scales}
              at={at}
              loss={loss.value}
              equal={equal.value}
              onMove={(n) => move({ N: Math.min(high, Math.max(low, n)) })}
            />
          )}
        />
        <Legend series={series} />
        <p class="note">
          Drag the ring, or use the sliders. The dashed line goes to the P = 1 curve at the same loss. Bands and brackets are 95%
          intervals from refits to residuals that are dealt out anew ({String(thetas.value.length).padStart(3, '\u2007')} of{' '}
          {refitsWanted} refits).
          {[...new Set([...loss.warnings, ...equal.warnings])].map((warning) => ` ${warning}.`)}
        </p>
      </section>
      <Later height={520}>
        <div class="two">
          <Contours low={low} high={high} at={at} />
          <Parameters />
        </div>
      </Later>
    </>
  )
}

type Band = readonly (readonly [n: number, low: number, high: number])[]

/** The intervals of each curve, computed a curve at a time; undefined until all of this fit's are there. */
function useBands(fit: Fit, ps: readonly number[], grid: readonly number[]): ReadonlyMap<number, Band> | undefined {
  const [known, setKnown] = useState<{ readonly fit: Fit; readonly bands: ReadonlyMap<number, Band> } | undefined>(undefined)
  const refits = thetas.value
  useEffect(() => {
    if (refits.length < 40) return
    const bands = new Map<number, Band>()
    const some = grid.filter((_, i) => i % 4 === 0 || i === grid.length - 1)
    const bandOf = (p: number): Band =>
      some.map((n) => {
        const { interval } = predictLoss(fit, { N: n, P: p }, refits)
        return [n, interval!.low, interval!.high] as const
      })
    const work = ps.map((p) =>
      inTurn(() => {
        bands.set(p, bandOf(p))
        if (bands.size === ps.length) setKnown({ fit, bands })
      }),
    )
    return () => {
      for (const cancel of work) cancel()
    }
  }, [fit, refits, ps, grid])
  return known?.fit === fit ? known.bands : undefined
}

function Handle({
  scales,
  at,
  loss,
  equal,
  onMove,
}: {
  scales: ChartScales
  at: { N: number; P: number }
  loss: number
  equal: number
  onMove: (n: number) => void
}) {
  const dragging = useRef(false)
  const { x, y, plot } = scales
  const [cx, cy] = [x(at.N), y(loss)]
  const right = Number.isFinite(equal) ? Math.min(plot.right + 6, x(equal)) : plot.right + 6
  return (
    <g>
      <line x1={cx} x2={right} y1={cy} y2={cy} stroke="var(--ink)" stroke-dasharray="4 4" />
      {right <= plot.right && (
        <>
          <line x1={right} x2={right} y1={cy} y2={plot.bottom} stroke="var(--ink)" stroke-dasharray="4 4" />
          <circle cx={right} cy={cy} r="5" fill="var(--ink)" />
        </>
      )}
      <circle
        class="handle"
        cx={cx}
        cy={cy}
        r="9"
        fill="var(--raised)"
        fill-opacity="0.7"
        stroke="var(--ink)"
        stroke-width="2.5"
        onPointerDown={(event) => {
          dragging.current = true
          event.currentTarget.setPointerCapture(event.pointerId)
        }}
        onPointerMove={(event) => {
          if (!dragging.current) return
          const box = event.currentTarget.ownerSVGElement!.getBoundingClientRect()
          onMove(scales.invertX(event.clientX - box.left))
        }}
        onPointerUp={() => {
          dragging.current = false
        }}
      />
    </g>
  )
}

/** Lines of equal loss over N and P. */
function Contours({ low, high, at }: { low: number; high: number; at: { N: number; P: number } }) {
  const fit = fitted.value
  if (fit instanceof Error) return null
  // The least is that of the most parameters and streams.
  const most = lossAt(fit.law, fit.theta, { N: low, P: 1 })
  const least = lossAt(fit.law, fit.theta, { N: high, P: 32 })
  const levels = Array.from({ length: 10 }, (_, i) => least + ((i + 0.5) * (most - least)) / 10)
  // Neither a drag nor a refit changes them: the same elements are not compared again.
  const drawn = useRef<{ fit: Fit; width: number; areas: ComponentChildren } | undefined>(undefined)
  const areas = (scales: ChartScales) => {
    const { width } = scales
    if (drawn.current?.fit !== fit || drawn.current.width !== width)
      drawn.current = { fit, width, areas: areasOf(fit, low, high, levels, scales) }
    return drawn.current.areas
  }
  return (
    <section class="block" aria-labelledby="contours-title">
      <h2 id="contours-title">Equal loss over N and P</h2>
      <XyChart
        label={`Lines of equal loss over N and P, from ${levels[0]!.toFixed(3)} to ${levels.at(-1)!.toFixed(3)}`}
        series={[]}
        x={{ label: 'N', log: true, domain: [low, high], format: short }}
        y={{ label: 'P', log: true, domain: [1, 32], ticks: [1, 2, 4, 8, 16, 32] }}
        height={340}
        under={areas}
        over={({ x, y }) => (
          <>
            {fit.points.map((point) => (
              <circle
                key={`${point.N} ${point.P}`}
                cx={x(point.N)}
                cy={y(point.P)}
                r="3.5"
                fill={colourOf(point.P)}
                stroke="var(--ink)"
                stroke-width="0.75"
              />
            ))}
            <circle cx={x(at.N)} cy={y(at.P)} r="8" fill="none" stroke="var(--ink)" stroke-width="2.5" />
          </>
        )}
      />
      <p class="note">
        Fainter is lower. Along an edge the loss is the same: going up a line, streams take the place of parameters.
      </p>
    </section>
  )
}

/** What has a level's loss and more, each a filled path. */
function areasOf(fit: Fit, low: number, high: number, levels: readonly number[], { x, y }: ChartScales): ComponentChildren {
  const [columns, rows] = [60, 40]
  const values: number[] = []
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      values.push(
        lossAt(fit.law, fit.theta, { N: low * (high / low) ** (column / (columns - 1)), P: 2 ** ((5 * row) / (rows - 1)) }),
      )
  const px = (column: number) => x(low * (high / low) ** ((column - 0.5) / (columns - 1)))
  const py = (row: number) => y(2 ** ((5 * (row - 0.5)) / (rows - 1)))
  const pathOf = (ring: readonly (readonly number[])[]) =>
    `M${ring.map(([a, b]) => `${px(a!).toFixed(1)},${py(b!).toFixed(1)}`).join('L')}Z`
  return contours()
    .size([columns, rows])
    .thresholds([...levels])(values)
    .map(({ value, coordinates }, i) => (
      <path
        key={value}
        d={coordinates.flatMap((polygon) => polygon.map(pathOf)).join('')}
        fill={`rgb(0 114 178 / ${0.05 + 0.035 * i})`}
        stroke="var(--raised)"
        stroke-width="1"
      >
        <title>loss {value.toFixed(3)} and more</title>
      </path>
    ))
}

function Parameters() {
  const fit = fitted.value
  if (fit instanceof Error) return null
  const intervals = thetas.value.length >= 40 ? parameterIntervals(fit, thetas.value) : undefined
  const show = (name: string, value: number) => (name === 'A' || name === 'B' ? short(value) : value.toFixed(4))
  return (
    <section class="block" aria-labelledby="fit-title">
      <h2 id="fit-title">The fit</h2>
      <p class="note">loss = {laws[fit.law.name].formula}</p>
      <div class="scroll">
        <table class="even">
          <thead>
            <tr>
              <th scope="col">Parameter</th>
              <th scope="col">Value</th>
              <th scope="col">95%</th>
            </tr>
          </thead>
          <tbody>
            {fit.law.parameters.map(({ name }, i) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{show(name, fit.theta[i]!)}</td>
                <td>{intervals ? `${show(name, intervals[name]!.low)} to ${show(name, intervals[name]!.high)}` : '…'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">
        {fit.points.length} points, R² = {fit.r2.toFixed(4)}. Largest miss:{' '}
        {extent(fit.residuals.map(({ error }) => Math.abs(error)))[1].toFixed(4)} nats.
      </p>
    </section>
  )
}

const trim = (value: number) => String(Number(value.toPrecision(3)))
const logRange = (low: number, high: number, n: number) =>
  Array.from({ length: n }, (_, i) => low * (high / low) ** (i / (n - 1)))

export type { Point }
