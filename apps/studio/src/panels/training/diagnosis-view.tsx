/** A diagnosis as pictures: losses, pairs of streams, weights. */
import { XyChart } from '../../charts/when-there.tsx'
import { css, percent } from '../../streams.ts'

interface Figure {
  readonly loss: number
  readonly difference: number
  readonly standardError: number
}
/** As /studio/diagnose gives it: core's Diagnosis, and how many tokens the text had where it was cut. */
export interface Diagnosed {
  readonly p: number
  readonly tokens: number
  readonly cut: number | null
  readonly losses: {
    readonly aggregate: number
    readonly average: Figure
    readonly ensemble: Figure
    readonly streams: readonly Figure[]
    readonly withoutStream: readonly Figure[]
  }
  readonly correlation: { readonly rho: readonly (readonly number[])[]; readonly meanRho: number; readonly factor: number }
  readonly distances: readonly (readonly number[])[]
  readonly disagreement: readonly (readonly number[])[]
  readonly weights: { readonly mean: readonly number[]; readonly leads: readonly number[]; readonly entropy: number }
  readonly alarms: readonly { readonly message: string }[]
}

export function DiagnosisView({ found }: { found: Diagnosed }) {
  const { p, losses, correlation, weights, disagreement, alarms } = found
  const alone = losses.streams.map(({ loss }) => loss)
  const without = losses.withoutStream.map(({ loss }) => loss)
  const all = [...alone, ...without, losses.aggregate, losses.average.loss, losses.ensemble.loss]
  const [least, most] = [Math.min(...all), Math.max(...all)]
  const pad = Math.max(1e-3, 0.1 * (most - least))
  const numbers = Array.from({ length: p }, (_, i) => i + 1)
  return (
    <div class="block" style={{ gap: '24px' }}>
      {alarms.map(({ message }) => (
        <p class="message" key={message}>
          {message}
        </p>
      ))}
      <dl class="stats">
        <div>
          <dt>tokens read</dt>
          <dd>
            {found.tokens} {found.cut !== null && <small>of {found.cut}</small>}
          </dd>
        </div>
        <div>
          <dt>loss together</dt>
          <dd>{losses.aggregate.toFixed(3)}</dd>
        </div>
        <div>
          <dt>best stream alone</dt>
          <dd>{Math.min(...alone).toFixed(3)}</dd>
        </div>
        <div>
          <dt>correlation, mean ρ</dt>
          <dd>{correlation.meanRho.toFixed(4)}</dd>
        </div>
        <div>
          <dt>evenness of weights</dt>
          <dd>{weights.entropy.toFixed(3)}</dd>
        </div>
      </dl>
      <div class="two">
        <section class="block" aria-labelledby="d-losses">
          <h3 id="d-losses">Losses, nats a token</h3>
          <XyChart
            label={`Losses: together ${losses.aggregate.toFixed(3)}; alone ${alone.map((loss, i) => `stream ${i + 1} ${loss.toFixed(3)}`).join(', ')}`}
            series={[
              { name: 'alone', colour: css(4), dots: alone.map((loss, i) => [i + 1, loss] as const), radius: 5 },
              { name: 'without it', colour: css(5), dots: without.map((loss, i) => [i + 1, loss] as const), radius: 5 },
              {
                name: 'together',
                colour: 'var(--ink)',
                line: [
                  [0.5, losses.aggregate],
                  [p + 0.5, losses.aggregate],
                ],
              },
              {
                name: 'average of the states',
                colour: css(2),
                dashed: true,
                line: [
                  [0.5, losses.average.loss],
                  [p + 0.5, losses.average.loss],
                ],
              },
              {
                name: 'average of the probabilities',
                colour: css(6),
                dashed: true,
                line: [
                  [0.5, losses.ensemble.loss],
                  [p + 0.5, losses.ensemble.loss],
                ],
              },
            ]}
            x={{ label: 'stream', domain: [0.5, p + 0.5], ticks: numbers }}
            y={{ label: '', domain: [least - pad, most + pad], format: (value) => value.toFixed(most - least < 0.05 ? 3 : 2) }}
            height={260}
          />
          <p class="legend">
            <span>
              <i style={{ background: css(4) }} />
              the stream alone
            </span>
            <span>
              <i style={{ background: css(5) }} />
              all but the stream
            </span>
            <span>
              <i style={{ background: 'var(--ink)' }} />
              together
            </span>
            <span>
              <i style={{ background: css(2) }} />
              average of the states
            </span>
            <span>
              <i style={{ background: css(6) }} />
              average of the probabilities
            </span>
          </p>
        </section>
        <section class="block" aria-labelledby="d-weights">
          <h3 id="d-weights">Weights</h3>
          <div class="streams" style={{ gridTemplateColumns: '22px minmax(60px, 1fr) 60px 90px' }}>
            {weights.mean.map((mean, i) => (
              <span style={{ display: 'contents' }} key={i}>
                <span>{i + 1}</span>
                <span class="bar">
                  <i style={{ width: percent(mean, 1), background: css(i) }} />
                </span>
                <span class="num">{percent(mean, 1)}</span>
                <span class="num">leads {percent(weights.leads[i]!)}</span>
              </span>
            ))}
          </div>
        </section>
        <Matrix
          title="Correlation ρ of the residuals"
          caption="1: they err in the same places"
          values={correlation.rho}
          format={(value) => value.toFixed(3).replace(/^0/, '')}
        />
        <Matrix
          title="Disagreement"
          caption="share of the tokens where two streams would say different ones"
          values={disagreement}
          format={(value) => percent(value)}
        />
      </div>
    </div>
  )
}

function Matrix({
  title,
  caption,
  values,
  format,
}: {
  title: string
  caption: string
  values: readonly (readonly number[])[]
  format: (value: number) => string
}) {
  const others = values.flatMap((row, i) => row.filter((_, j) => j !== i))
  const [least, most] = [Math.min(...others), Math.max(...others)]
  const shade = (value: number) => (most > least ? (value - least) / (most - least) : 0.5)
  return (
    <div class="block">
      <h3>{title}</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}>
        <table class="heat">
          <caption>{caption}</caption>
          <thead>
            <tr>
              <td />
              {values.map((_, i) => (
                <th scope="col" key={i}>
                  {i + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {values.map((row, i) => (
              <tr key={i}>
                <th scope="row">{i + 1}</th>
                {row.map((value, j) => (
                  <td
                    key={j}
                    style={i === j ? { color: 'var(--soft)' } : { background: `rgb(0 114 178 / ${0.06 + 0.34 * shade(value)})` }}
                  >
                    {i === j ? '·' : format(value)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  )
}
