/** The law in one picture and one slider, for the guided minute. */

import { equivalentParameters, predictLoss } from '@parscale/core/law'
import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { XyChart } from '../charts/xy-chart.tsx'
import { css, short } from '../streams.ts'
import { fitted } from './law-fits.ts'

const [low, high, N] = [3.5e8, 9e9, 1.57e9]
const grid = Array.from({ length: 40 }, (_, i) => low * (high / low) ** (i / 39))

export function LawMini() {
  const p = useSignal(8)
  const fit = fitted.value
  const plain = useMemo(
    () => (fit instanceof Error ? [] : grid.map((n) => [n, predictLoss(fit, { N: n, P: 1 }).value] as const)),
    [fit],
  )
  if (fit instanceof Error) return <p class="message">{fit.message}</p>
  const loss = predictLoss(fit, { N, P: p.value }).value
  const equal = equivalentParameters(fit, { N, P: p.value }).value
  const points = fit.points.filter((point) => point.P === 1).map((point) => [point.N, point.loss] as const)
  return (
    <div class="block">
      <p class="answer" style={{ minHeight: '58px' }} aria-live="polite">
        1.57B parameters with <strong>P = {Number(p.value.toPrecision(3))}</strong> do what <strong>{short(equal)}</strong> do
        with one stream: {(equal / N).toFixed(2)} times as many.
      </p>
      <div class="field">
        <label for="mini-p">P, streams: {Number(p.value.toPrecision(3))}</label>
        <input
          id="mini-p"
          type="range"
          min={0}
          max={5}
          step={0.05}
          value={Math.log2(p.value)}
          aria-valuetext={p.value.toPrecision(3)}
          onInput={(event) => (p.value = 2 ** event.currentTarget.valueAsNumber)}
        />
      </div>
      <XyChart
        label="Loss over parameters, of one stream and of P"
        series={[
          { name: 'P = 1', colour: css(4), line: plain, dots: points },
          { name: 'P', colour: css(5), line: grid.map((n) => [n, predictLoss(fit, { N: n, P: p.value }).value] as const) },
        ]}
        x={{ label: 'N, parameters', log: true, domain: [low, high], format: short }}
        y={{ label: 'loss, nats a token', domain: [0.86, 1.24], format: (value) => value.toFixed(1) }}
        height={280}
        over={({ x, y }) => (
          <>
            <line
              x1={x(N)}
              x2={Math.min(x(high), x(equal))}
              y1={y(loss)}
              y2={y(loss)}
              stroke="var(--ink)"
              stroke-dasharray="4 4"
            />
            <circle cx={x(N)} cy={y(loss)} r="7" fill="var(--raised)" stroke="var(--ink)" stroke-width="2.5" />
            {equal < high && <circle cx={x(equal)} cy={y(loss)} r="5" fill="var(--ink)" />}
          </>
        )}
      />
      <p class="note">
        The paper's measurements on code (Stack-V2-Python) and the law fitted to them in this page: the upper curve is one stream,
        the lower P.
      </p>
    </div>
  )
}
