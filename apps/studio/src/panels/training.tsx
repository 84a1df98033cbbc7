/** Training runs while they are written, runs side by side, a run of the reader's own, and a diagnosis of a text. */
import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { connection, currentModel, events, info, json, post } from '../api.ts'
import { LiveChart } from '../charts/live-chart.tsx'
import { Legend } from '../charts/xy-chart.tsx'
import { css } from '../streams.ts'
import { Drop } from '../ui.tsx'
import { type Diagnosed, DiagnosisView } from './diagnosis.tsx'

interface Run {
  readonly name: string
  readonly recipe: string
  readonly base: string | null
  readonly p: number
  readonly step: number
  readonly steps: number
  readonly heldOutLoss: number | null
  readonly changed: number
  readonly problem: string | null
  readonly state: 'running' | 'finished' | 'stopped' | 'damaged'
}
interface Rec {
  readonly step: number
  readonly kind: string
  readonly loss?: number
  readonly rho?: number
  readonly weightEntropy?: number
  readonly streamLosses?: readonly number[]
  readonly message?: string
}
interface Sample {
  readonly step: number
  readonly prompt: string
  readonly text: string
}
interface Live {
  readonly records: readonly Rec[]
  readonly samples: readonly Sample[]
  readonly run: Run | null
  readonly process: { readonly said: string; readonly code?: number | null } | null
}
const nothing: Live = { records: [], samples: [], run: null, process: null }

const words = { running: 'trains', finished: 'finished', stopped: 'stopped', damaged: 'cannot be read' }

export function Training() {
  const runs = useSignal<readonly Run[]>([])
  const folder = useSignal('')
  const chosen = useSignal<readonly string[]>([])
  useEffect(() => {
    if (connection.value !== 'here') return
    let stopped = false
    let timer: ReturnType<typeof setTimeout>
    const look = async () => {
      try {
        const found = await json<{ folder: string; runs: Run[] }>('/studio/runs')
        runs.value = found.runs
        folder.value = found.folder
        if (chosen.value.length === 0 && found.runs[0]) chosen.value = [found.runs[0].name]
      } catch {
        // The connection says so.
      }
      if (!stopped) timer = setTimeout(look, 3000)
    }
    void look()
    return () => {
      stopped = true
      clearTimeout(timer)
    }
  }, [connection.value])
  if (connection.value === 'alone')
    return (
      <div class="panel">
        <h1>Training</h1>
        <p class="message fine">
          This page stands alone. With <code>npx parscale studio</code> it shows runs while they train, and starts them.
        </p>
      </div>
    )
  const [first] = chosen.value
  const toggle = (name: string) => {
    chosen.value = chosen.value.includes(name) ? chosen.value.filter((each) => each !== name) : [...chosen.value, name].slice(-4)
  }
  return (
    <div class="panel">
      <div>
        <h1>Training</h1>
        <p class="lead">
          Recycling leaves a model's weights as they are and learns what makes streams differ: prefixes, and the network that
          weighs what they say. Runs are read from {folder.value ? <code>{folder.value}</code> : 'a folder'} while they are
          written.
        </p>
      </div>
      <NewRun onStarted={(name) => (chosen.value = [name])} />
      <section class="block" aria-labelledby="runs-title">
        <h2 id="runs-title">Runs</h2>
        {runs.value.length === 0 ? (
          <p class="note" style={{ minHeight: '60px' }}>
            There are none yet. Start one above, or: <code>parscale train recycle --data notes.txt --p 4 --out runs/first</code>
          </p>
        ) : (
          <div class="scroll" tabIndex={0} role="region" aria-label="Runs, table">
            <table>
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
                {runs.value.map((run) => (
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
                        checked={chosen.value.includes(run.name)}
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
      <Shown names={chosen.value} key={chosen.value.join('/')} />
      {first === undefined && <div style={{ minHeight: '100px' }} />}
      <Diagnose />
    </div>
  )
}

/** News of a run as long as it is shown. */
function useRun(name: string | undefined): Live {
  const live = useSignal<Live>(nothing)
  useEffect(() => {
    if (name === undefined) return
    const left = new AbortController()
    const read = async () => {
      for (;;) {
        try {
          const response = await fetch(new URL(`./studio/runs/${encodeURIComponent(name)}/events`, document.baseURI), {
            signal: left.signal,
          })
          if (response.ok && response.body) {
            live.value = nothing
            for await (const data of events(response.body)) {
              const news = JSON.parse(data) as Live & { reset: boolean }
              const before = news.reset ? nothing : live.value
              live.value = {
                ...news,
                records: [...before.records, ...news.records],
                samples: [...before.samples, ...news.samples],
              }
            }
          }
        } catch {
          if (left.signal.aborted) return
        }
        if (left.signal.aborted) return
        await new Promise((resolve) => setTimeout(resolve, 1500))
      }
    }
    void read()
    return () => left.abort()
  }, [name])
  return live.value
}

function Shown({ names }: { names: readonly string[] }) {
  if (names.length === 0) return null
  if (names.length === 1) return <OneRun name={names[0]!} />
  return <Compared names={names} />
}

const dash = (i: number) => css([4, 5, 2, 6][i % 4]!)

function OneRun({ name }: { name: string }) {
  const live = useRun(name)
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
      problem.value = (error as Error).message
    }
  }
  const lastSample = samples.at(-1)
  return (
    <section class="block" aria-labelledby="run-title">
      <div class="row middle">
        <h2 id="run-title">{name}</h2>
        <span class="note" role="status">
          {run
            ? `${failed ? 'failed' : words[run.state]}, step ${run.step}${run.steps ? ` of ${run.steps}` : ''}`
            : failed
              ? 'failed'
              : 'begins: text and model are being read'}
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
          {lastSample ? `${lastSample.prompt}${lastSample.text}` : 'Nothing yet.'}
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

/** The same curve of up to four runs. Hooks are of fixed number. */
function Compared({ names }: { names: readonly string[] }) {
  const lives = [useRun(names[0]!), useRun(names[1]!), useRun(names[2]), useRun(names[3])].slice(0, names.length)
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

function NewRun({ onStarted }: { onStarted: (name: string) => void }) {
  const text = useSignal('')
  const file = useSignal('')
  const name = useSignal('')
  const p = useSignal(2)
  const steps = useSignal(60)
  const problem = useSignal('')
  const busy = useSignal(false)
  const model = currentModel('')
  const take = async ([first]: File[]) => {
    problem.value = ''
    if (first!.size > 12e6) {
      problem.value = `${first!.name} has ${(first!.size / 1e6).toFixed(0)} MB; from the page at most 12 MB. Larger ones: parscale train recycle --data ${first!.name}`
      return
    }
    const read = new Uint8Array(await first!.arrayBuffer())
    try {
      text.value = new TextDecoder('utf-8', { fatal: true }).decode(read)
    } catch {
      problem.value = `${first!.name} is no text in UTF-8`
      return
    }
    file.value = first!.name
    if (name.value === '')
      name.value =
        first!.name
          .replace(/\.\w+$/, '')
          .replace(/[^\w-]+/g, '-')
          .slice(0, 40) || 'run'
  }
  const start = async () => {
    problem.value = ''
    busy.value = true
    try {
      const started = await post<{ name: string }>('/studio/runs', {
        name: name.value,
        model: model!.id,
        text: text.value,
        p: p.value,
        steps: steps.value,
      })
      onStarted(started.name)
      name.value = ''
    } catch (error) {
      problem.value = sentence((error as Error).message)
    }
    busy.value = false
  }
  return (
    <section class="block" aria-labelledby="new-title">
      <h2 id="new-title">Recycle {model ? model.id : 'the model'} on a text of yours</h2>
      <Drop label="Choose a text" accept=".txt,.md,text/plain" onFiles={(files) => void take(files)}>
        {file.value
          ? `${file.value}: ${text.value.length.toLocaleString('en')} characters`
          : 'or drop it here; UTF-8, paragraphs apart'}
      </Drop>
      <div class="row">
        <div class="field">
          <label for="run-name">Name of the run</label>
          <input id="run-name" type="text" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        </div>
        <div class="field">
          <label for="run-p">Streams, P</label>
          <select id="run-p" value={String(p.value)} onChange={(event) => (p.value = Number(event.currentTarget.value))}>
            {[2, 3, 4, 6, 8].map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="run-steps">Steps</label>
          <input
            id="run-steps"
            type="number"
            min={1}
            max={100_000}
            value={steps.value}
            onInput={(event) => {
              if (event.currentTarget.valueAsNumber >= 1) steps.value = Math.round(event.currentTarget.valueAsNumber)
            }}
          />
        </div>
        <button
          type="button"
          class="main"
          disabled={busy.value || text.value === '' || name.value === '' || !model}
          onClick={() => void start()}
        >
          Train
        </button>
      </div>
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
    </section>
  )
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

function Diagnose() {
  const text = useSignal('')
  const found = useSignal<Diagnosed | undefined>(undefined)
  const problem = useSignal('')
  const busy = useSignal(false)
  const model = currentModel('')
  const id = useSignal('')
  const p = useSignal(0)
  const used = info.value?.models.find((each) => each.id === id.value) ?? model
  const choices = (used?.p ?? []).filter((n) => n > 1)
  const run = async () => {
    busy.value = true
    problem.value = ''
    try {
      found.value = await post<Diagnosed>('/studio/diagnose', {
        model: used!.id,
        text: text.value,
        p: choices.includes(p.value) ? p.value : undefined,
      })
    } catch (error) {
      problem.value = sentence((error as Error).message)
    }
    busy.value = false
  }
  return (
    <section class="block" aria-labelledby="diagnose-title">
      <h2 id="diagnose-title">Do the streams work? A diagnosis on a text</h2>
      <p class="note">
        What each stream would lose alone, together and without one of them; how alike they are; who weighs how much. Up to 4,096
        tokens.
      </p>
      <div class="field">
        <label for="diagnose-text">Text</label>
        <textarea id="diagnose-text" rows={4} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
      </div>
      <div class="row">
        {(info.value?.models.length ?? 0) > 1 && (
          <div class="field">
            <label for="diagnose-model">Model</label>
            <select id="diagnose-model" value={used?.id} onChange={(event) => (id.value = event.currentTarget.value)}>
              {info.value!.models.map((each) => (
                <option key={each.id}>{each.id}</option>
              ))}
            </select>
          </div>
        )}
        <div class="field">
          <label for="diagnose-p">Streams, P</label>
          <select
            id="diagnose-p"
            value={String(choices.includes(p.value) ? p.value : (choices.at(-1) ?? ''))}
            onChange={(event) => (p.value = Number(event.currentTarget.value))}
          >
            {choices.map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>
        </div>
        <button
          type="button"
          class="main"
          disabled={busy.value || text.value.trim() === '' || choices.length === 0}
          onClick={() => void run()}
        >
          {busy.value ? 'Reading' : 'Diagnose'}
        </button>
        {choices.length === 0 && used && <span class="note">{used.id} has one stream: there is nothing to compare.</span>}
      </div>
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
      {found.value && <DiagnosisView found={found.value} />}
    </section>
  )
}
