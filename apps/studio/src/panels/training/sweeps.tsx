/** Sweeps: how far each is, its means over seeds by N and P, and its runs. */
import { Legend } from '../../charts/legend.tsx'
import { XyChart } from '../../charts/when-there.tsx'
import { css, extent, short } from '../../streams.ts'
import { nameIn, type Sweep, type SweepPoint, type SweepRun } from './runs.ts'

const words = { done: 'done', running: 'runs', paused: 'paused', idle: 'nobody works on it' }
const runWords: Readonly<Record<SweepRun['state'], string>> = {
  ...{ running: 'trains', waiting: 'waits', begun: 'begun', finished: 'finished', failed: 'failed' },
  ...{ rung: 'waits for others', stopped: 'stopped early' },
}
const order = ['finished', 'stopped', 'failed', 'running', 'rung', 'begun', 'waiting'] as const

interface SweepsProps {
  readonly sweeps: readonly Sweep[]
  readonly shown: readonly string[]
  readonly onToggle: (run: string) => void
}

export function Sweeps({ sweeps, ...rest }: SweepsProps) {
  if (sweeps.length === 0) return null
  return (
    <section class="block" aria-labelledby="sweeps-title">
      <h2 id="sweeps-title">Sweeps</h2>
      {sweeps.map((sweep) => (
        <OneSweep key={sweep.name} sweep={sweep} {...rest} />
      ))}
    </section>
  )
}

function OneSweep({ sweep, shown, onToggle }: { readonly sweep: Sweep } & Omit<SweepsProps, 'sweeps'>) {
  const { name, state, counts, steps, runs, points, problem } = sweep
  const parts = order.filter((each) => counts[each] > 0).map((each) => `${counts[each]} ${runWords[each]}`)
  return (
    <div class="card block">
      <div class="row middle">
        <h3>{name}</h3>
        <span class="note" role="status">
          {problem ?? `${words[state]}: ${parts.join(', ')} of ${runs.length}`}
        </span>
      </div>
      {steps.total > 0 && (
        <progress value={steps.done} max={steps.total} aria-label={`Steps of ${name}`} style={{ width: '100%' }} />
      )}
      {points.length > 1 && <Points name={name} points={points} />}
      {runs.length > 0 && (
        <details>
          <summary>{runs.length} runs</summary>
          <div class="scroll" tabIndex={0} role="region" aria-label={`Runs of ${name}, table`}>
            <table class="dense">
              <thead>
                <tr>
                  <th scope="col">Run</th>
                  <th scope="col" class="text">
                    State
                  </th>
                  <th scope="col">Step</th>
                  <th scope="col">Held-out loss</th>
                  <th scope="col">Shown</th>
                </tr>
              </thead>
              <tbody>
                {runs.map((run) => (
                  <tr key={run.name}>
                    <th scope="row">{run.name}</th>
                    <td class="text">{run.message ?? runWords[run.state]}</td>
                    <td>{`${run.step} of ${run.steps}`}</td>
                    <td>{run.loss?.toFixed(4) ?? '–'}</td>
                    <td>
                      <input
                        type="checkbox"
                        aria-label={`Show ${nameIn(sweep, run)}`}
                        disabled={run.step === 0}
                        checked={shown.includes(nameIn(sweep, run))}
                        onChange={() => onToggle(nameIn(sweep, run))}
                      />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </div>
  )
}

/** A line for each P; where runs had several lengths, those of the longest. */
function Points({ name, points }: { readonly name: string; readonly points: readonly SweepPoint[] }) {
  const most = Math.max(...points.map(({ D }) => D))
  const longest = points.filter(({ D }) => D > 0.9 * most)
  const ps = [...new Set(longest.map(({ P }) => P))].sort((a, b) => a - b)
  const series = ps.map((p, i) => {
    const xy = longest.filter(({ P }) => P === p).map(({ N, loss }) => [N, loss] as const)
    return { name: `P = ${p}`, colour: css([4, 0, 2, 5, 6, 1][i % 6]!), line: xy, dots: xy }
  })
  const [low, high] = extent(longest.map(({ N }) => N))
  const [least, worst] = extent(longest.map(({ loss }) => loss))
  const room = Math.max(0.05 * (worst - least), 1e-3)
  return (
    <>
      <XyChart
        label={`Held-out loss of ${name} over parameters, by P`}
        series={series}
        x={{ label: 'N, non-embedding parameters', log: true, domain: [low / 1.1, high * 1.1], format: short }}
        y={{ label: 'nats a token', domain: [least - room, worst + room], format: (value) => value.toFixed(2) }}
        height={280}
      />
      <Legend series={series} />
      <div class="scroll" tabIndex={0} role="region" aria-label={`Means of ${name}, table`}>
        <table class="dense">
          <thead>
            <tr>
              {['N', 'P', 'D', 'Loss', 'Standard error', 'Runs'].map((title) => (
                <th key={title} scope="col">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {points.map(({ N, P, D, loss, standardError, runs }) => (
              <tr key={`${N} ${P} ${D}`}>
                <th scope="row">{short(N)}</th>
                <td>{P}</td>
                <td>{short(D)}</td>
                <td>{loss.toFixed(4)}</td>
                <td>{standardError?.toFixed(4) ?? '–'}</td>
                <td>{runs}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}
