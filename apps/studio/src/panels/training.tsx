/** Training runs while they are written, runs side by side, a run of the reader's own, and a diagnosis of a text. */
import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { connection, post, trouble } from '../api.ts'
import { Legend } from '../charts/legend.tsx'
import { LiveChart } from '../charts/when-there.tsx'
import { css } from '../streams.ts'
import { PanelHead, sentence } from '../ui.tsx'
import { Diagnose } from './training/diagnose.tsx'
import { NewRun } from './training/new-run.tsx'
import { type Followed, type Live, liveOf, type Rec, useRuns } from './training/runs.ts'
import { Sweeps } from './training/sweeps.tsx'

const words = { running: 'trains', finished: 'finished', stopped: 'stopped', damaged: 'cannot be read' }

export function Training() {
  const chosen = useSignal<readonly string[]>([])
  const newest = useSignal<string | undefined>(undefined)
  // Until something is chosen the newest is shown.
  const names = chosen.value.length > 0 || newest.value === undefined ? chosen.value : [newest.value]
  const followed = useRuns(names)
  const { runs, folder } = followed
  newest.value = runs[0]?.name
  if (connection.value === 'alone')
    return (
      <div class="panel">
        <h1>Training</h1>
        <p class="message fine">
          This page stands alone. With <code>npx parscale studio</code> it shows runs while they train, and starts them.
        </p>
      </div>
    )
  const [first] = names
  const toggle = (name: string) => {
    chosen.value = names.includes(name) ? names.filter((each) => each !== name) : [...names, name].slice(-4)
  }
  return (
    <div class="panel">
      <PanelHead name="training" />
      <NewRun onStarted={(name) => (chosen.value = [name])} />
      {(followed.problem || connection.value === 'gone') && (
        <p class="message" role="alert">
          {sentence(followed.problem || trouble.value)}: runs cannot be shown. It is asked again.
        </p>
      )}
      {folder === '' ? (
        <div style={{ minHeight: '100vh' }} />
      ) : (
        <>
          <section class="block" aria-labelledby="runs-title">
            <h2 id="runs-title">Runs</h2>
            <p class="note one-line">{folder ? <code>{folder}</code> : ''}</p>
            {runs.length === 0 ? (
              <p class="note" style={{ minHeight: '60px' }}>
                There are none yet. Start one above, or:{' '}
                <code>parscale train recycle --data notes.txt --p 4 --out runs/first</code>
              </p>
            ) : (
              <div class="scroll" tabIndex={0} role="region" aria-label="Runs, table">
                <table class="dense">
                  <thead>
                    <tr>
                      <th scope="col">Run</th>
                      <th scope="col" class="text">
                        State
                      </th>
                      <th scope="col">P</th>
                      <th scope="col">Step</th>
                      <th scope="col">Held-out loss</th>
                      <th scope="col">Shown</th>
                    </tr>
                  </thead>
                  <tbody>
                    {runs.map((run) => (
                      <tr key={run.name}>
                        <th scope="row">{run.name}</th>
                        <td class="text" style={{ whiteSpace: run.problem ? 'normal' : 'nowrap' }}>
                          {run.problem ?? `${run.recipe}, ${words[run.state]}`}
                        </td>
                        <td>{run.p || '–'}</td>
                        <td>{run.steps ? `${run.step} of ${run.steps}` : '–'}</td>
                        <td>{run.heldOutLoss?.toFixed(4) ?? '–'}</td>
                        <td>
                          <input
                            type="checkbox"
                            aria-label={`Show ${run.name}`}
                            checked={names.includes(run.name)}
                            onChange={() => toggle(run.name)}
                          />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </section>
          <Sweeps sweeps={followed.sweeps} shown={names} onToggle={toggle} />
          <Shown names={names} followed={followed} key={names.join('/')} />
          {first === undefined && <div style={{ minHeight: '100px' }} />}
          <Diagnose />
        </>
      )}
    </div>
  )
}

function Shown({ names, followed }: { names: readonly string[]; followed: Followed }) {
  if (names.length === 0) return null
  const lives = names.map((name) => liveOf(followed, name))
  // What comes at once moves nothing.
  if (lives.some(({ run, records }) => run && run.step > 0 && records.length === 0)) return <div style={{ minHeight: '100vh' }} />
  if (names.length === 1) return <OneRun name={names[0]!} live={lives[0]!} />
  return <Compared names={names} lives={lives} />
}

const dash = (i: number) => css([4, 5, 2, 6][i % 4]!)

function OneRun({ name, live }: { name: string; live: Live }) {
  const { records, samples, run } = live
  const problem = useSignal('')
  const charts = useMemo(() => chartsOf(records), [records])
  const alarms = records.filter(({ kind }) => kind === 'alarm')
  const failed =
    live.process !== null &&
    live.process.code !== undefined &&
    live.process.code !== 0 &&
    // It was stopped, and has a checkpoint.
    live.process.code !== 130
  const stop = async () => {
    problem.value = ''
    try {
      await post(`/studio/runs/${encodeURIComponent(name)}/stop`, {})
    } catch (error) {
      problem.value = sentence((error as Error).message)
    }
  }
  const lastSample = samples.at(-1)
  return (
    <section class="block" aria-labelledby="run-title">
      <div class="row middle">
        <h2 id="run-title">{name}</h2>
        {/* Steps are not read out, how it ends is. */}
        <span class="note" role="status" aria-live={run?.state === 'running' ? 'off' : 'polite'}>
          {run
            ? `${failed ? 'failed' : words[run.state]}, step ${run.step}${run.steps ? ` of ${run.steps}` : ''}`
            : failed
              ? 'failed'
              : live.process
                ? 'begins: text and model are being read'
                : 'its folder is not there: it was removed, renamed or never begun'}
        </span>
        {live.process && live.process.code === undefined && (
          <button type="button" onClick={() => void stop()}>
            Stop
          </button>
        )}
      </div>
      {run?.state === 'running' && run.steps > 0 && (
        <progress value={run.step} max={run.steps} aria-label="Steps" style={{ width: '100%' }} />
      )}
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
      {failed && (
        <p class="message" role="alert" style={{ whiteSpace: 'pre-wrap' }}>
          {live.process!.said.trim().split('\n').slice(-3).join('\n')}
        </p>
      )}
      {alarms.length > 0 && (
        <p class="message" role="alert">
          Step {alarms.at(-1)!.step}: {alarms.at(-1)!.message}
        </p>
      )}
      <div class="two">
        <Curve title="Loss" unit="nats a token" chart={charts.loss} />
        <Curve title="Each stream alone" unit="nats a token" chart={charts.streams} />
        <Curve title="Correlation of the streams, ρ" unit="1: all alike" chart={charts.rho} />
        <Curve title="Evenness of the weights" unit="1: all weigh the same" chart={charts.entropy} range={[0, 1.02]} />
      </div>
      <div class="card" style={{ minHeight: '96px' }}>
        <h3>What it writes{lastSample ? ` at step ${lastSample.step}` : ''}</h3>
        <p style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
          {lastSample ? `${lastSample.prompt ?? ''}${lastSample.text}` : 'Nothing yet.'}
        </p>
      </div>
    </section>
  )
}

interface Curves {
  readonly data: readonly (readonly (number | null)[])[]
  readonly series: readonly {
    readonly name: string
    readonly colour: string
    readonly points?: boolean
    readonly width?: number
  }[]
}

function Curve({ title, unit, chart, range }: { title: string; unit: string; chart: Curves; range?: readonly [number, number] }) {
  return (
    <div class="block">
      <h3>
        {title} <span style={{ fontWeight: 450 }}>· {unit}</span>
      </h3>
      <LiveChart label={title} data={chart.data} series={chart.series} {...(range && { range })} />
      <Legend series={chart.series} />
    </div>
  )
}

/** Columns by step of several lists of values. */
function columns(lists: readonly (readonly (readonly [step: number, value: number])[])[]): (number | null)[][] {
  const steps = [...new Set(lists.flatMap((list) => list.map(([step]) => step)))].sort((a, b) => a - b)
  const place = new Map(steps.map((step, i) => [step, i]))
  return [
    steps,
    ...lists.map((list) => {
      const column = new Array<number | null>(steps.length).fill(null)
      for (const [step, value] of list) if (Number.isFinite(value)) column[place.get(step)!] = value
      return column
    }),
  ]
}

const valuesOf = (records: readonly Rec[], kind: string, of: (record: Rec) => number | undefined): [number, number][] =>
  records.flatMap((record) => {
    const value = record.kind === kind ? of(record) : undefined
    return typeof value === 'number' ? [[record.step, value] as [number, number]] : []
  })

function chartsOf(records: readonly Rec[]): Record<'loss' | 'streams' | 'rho' | 'entropy', Curves> {
  const p = records.reduce((most, { streamLosses }) => Math.max(most, streamLosses?.length ?? 0), 0)
  return {
    loss: {
      data: columns([valuesOf(records, 'train', ({ loss }) => loss), valuesOf(records, 'evaluation', ({ loss }) => loss)]),
      series: [
        { name: 'training', colour: css(1), width: 1.5 },
        { name: 'held out', colour: css(5), points: true },
      ],
    },
    streams: {
      data: columns([
        ...Array.from({ length: p }, (_, i) => valuesOf(records, 'streams', ({ streamLosses }) => streamLosses?.[i])),
        valuesOf(records, 'streams', ({ loss }) => loss),
      ]),
      series: [
        ...Array.from({ length: p }, (_, i) => ({ name: `stream ${i + 1}`, colour: css(i), width: 1.5, points: true })),
        { name: 'together', colour: 'gray', points: true },
      ],
    },
    rho: {
      data: columns([valuesOf(records, 'streams', ({ rho }) => rho)]),
      series: [{ name: 'mean of the pairs', colour: css(4), points: true }],
    },
    entropy: {
      data: columns([valuesOf(records, 'streams', ({ weightEntropy }) => weightEntropy)]),
      series: [{ name: 'entropy over ln P', colour: css(2), points: true }],
    },
  }
}

/** The same curve of up to four runs. */
function Compared({ names, lives }: { names: readonly string[]; lives: readonly Live[] }) {
  const curve = (kind: string, of: (record: Rec) => number | undefined): Curves => ({
    data: columns(lives.map(({ records }) => valuesOf(records, kind, of))),
    series: names.map((name, i) => ({ name, colour: dash(i), points: kind !== 'train' })),
  })
  return (
    <section class="block" aria-labelledby="compare-title">
      <h2 id="compare-title">{names.length} runs side by side</h2>
      <div class="two">
        <Curve title="Training loss" unit="nats a token" chart={curve('train', ({ loss }) => loss)} />
        <Curve title="Held-out loss" unit="nats a token" chart={curve('evaluation', ({ loss }) => loss)} />
        <Curve title="Correlation, ρ" unit="1: all alike" chart={curve('streams', ({ rho }) => rho)} />
        <Curve
          title="Evenness of the weights"
          unit="1: all weigh the same"
          chart={curve('streams', ({ weightEntropy }) => weightEntropy)}
        />
      </div>
    </section>
  )
}
