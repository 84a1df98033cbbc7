/** The guided minute: what streams are, shown on the model that runs, one sentence at a time. */
import { useSignal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { connection, currentModel, isRecorded, type ModelInfo, recordedTraces, type Token, trouble } from '../api.ts'
import { part } from '../fetched.ts'
import { PageModelBar } from '../page-model-bar.tsx'
import { bytes, css, leader, mean, percent, shown } from '../streams.ts'
import { TraceRun } from '../trace.ts'
import { Button, sentence as upper } from '../ui.tsx'

interface Step {
  readonly sentence: (p: number) => string
  readonly link: readonly [href: string, text: string]
}

const words = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight']
const count = (n: number) => words[n] ?? String(n)

const steps: readonly Step[] = [
  {
    sentence: (p) => `${upper(count(p))} streams of one model read the same words, each with a small learned part of its own.`,
    link: ['#/play', 'Playground'],
  },
  { sentence: () => 'Each of them, alone, would go on with a token of its own.', link: ['#/play', 'Playground'] },
  {
    sentence: () => 'A small network weighs the streams; the weighted mean of what they say writes the token, and writes on.',
    link: ['#/play', 'Playground'],
  },
  {
    sentence: () => 'Without the stream that weighs most, the others take over, and the text goes another way.',
    link: ['#/play', 'Playground'],
  },
  {
    sentence: () => 'More streams lower the loss as more parameters do, by a factor that grows with ln P.',
    link: ['#/law', 'Law'],
  },
  {
    sentence: () => 'The price is small, as all streams read the same weights. Measured here, just now:',
    link: ['#/price', 'Price'],
  },
]

const prompt = 'The people of the United States'
const length = 48
/** Kept while other panels are looked at. */
const whole = new TraceRun()
const knocked = new TraceRun()
/** Which model they are of. */
let wrote: string | undefined

export function Guide() {
  const step = useSignal(0)
  const model = currentModel('')
  const p = model?.p.at(-1) ?? 8
  const ready = model?.state === 'ready' || connection.value === 'alone'
  const asked = (p: number, without: readonly number[]) => ({
    ...{ model: model?.id ?? '', prompt, p, without, seed: 7, temperature: 0.8, maxTokens: length },
  })
  const go = (next: number) => {
    step.value = Math.max(0, Math.min(steps.length - 1, next))
  }
  // Another model answers: what the one before wrote goes.
  useEffect(() => {
    if (model === undefined || wrote === model.id) return
    wrote = model.id
    for (const run of [whole, knocked]) run.reset()
  }, [model?.id])
  useEffect(() => {
    if (ready && step.value >= 1 && whole.state.value === 'idle') void whole.start(asked(p, []))
  }, [ready, step.value, model?.id])
  const heaviest = whole.state.value === 'done' ? leader(meanWeights(whole.tokens, p)) : 0
  useEffect(() => {
    if (step.value === 3 && whole.state.value === 'done' && knocked.state.value === 'idle' && p > 1)
      void knocked.start(asked(p, [heaviest]))
  }, [step.value, whole.state.value])
  const { sentence, link } = steps[step.value]!
  const problem = [whole, knocked].find(({ state }) => state.value === 'refused' || state.value === 'lost')?.problem.value

  return (
    <div class="panel guide">
      <div class="row middle" style={{ justifyContent: 'space-between' }}>
        <h1>A minute with {count(p)} streams</h1>
        <a href="#/play">Skip to the playground</a>
      </div>
      <ol class="steps" aria-label="Steps">
        {steps.map((_, i) => (
          <li key={i}>
            <button
              type="button"
              aria-current={i === step.value ? 'step' : undefined}
              aria-label={`Step ${i + 1} of ${steps.length}`}
              onClick={() => go(i)}
            >
              {i + 1}
            </button>
          </li>
        ))}
      </ol>
      <p class="sentence" aria-live="polite">
        {sentence(p)}
      </p>
      <div class="stage">
        {problem ? (
          <p class="message" role="alert">
            {upper(problem)}.{' '}
            <button
              type="button"
              onClick={() => {
                for (const run of [whole, knocked]) if (run.state.value !== 'done') run.reset()
                void whole.start(asked(p, []))
              }}
            >
              Try again
            </button>
          </p>
        ) : step.value === 0 ? (
          <Readers p={p} />
        ) : step.value <= 2 ? (
          <Answers key={step.value} run={whole} p={p} withWeights={step.value === 2} />
        ) : step.value === 3 ? (
          <Without stream={heaviest} p={p} />
        ) : step.value === 4 ? (
          <LawHere />
        ) : (
          <PriceHere model={model} />
        )}
      </div>
      <div class="row middle">
        {step.value > 0 && (
          <button type="button" onClick={() => go(step.value - 1)}>
            Back
          </button>
        )}
        {step.value < steps.length - 1 ? (
          <Button class="main" disabled={!ready} onClick={() => go(step.value + 1)}>
            {step.value === 0 ? 'Begin' : 'Next'}
          </Button>
        ) : (
          <a key="end" class="button" href="#/play">
            To the playground
          </a>
        )}
        <a key="closer" href={link[0]}>
          Look closer: {link[1]}
        </a>
        <span class="note state" role="status">
          {ready
            ? ''
            : model?.state === 'failed'
              ? `The model cannot be loaded: ${model.problem}`
              : connection.value === 'gone'
                ? `${upper(trouble.value)}; it is looked for.`
                : 'The model is being loaded.'}
        </span>
      </div>
      <PageModelBar />
    </div>
  )
}

function meanWeights(tokens: readonly Token[], p: number): number[] {
  return Array.from(
    { length: p },
    (_, i) => tokens.reduce((sum, { weights }) => sum + (weights[i] ?? 0), 0) / Math.max(1, tokens.length),
  )
}

function Readers({ p }: { p: number }) {
  return (
    <div class="eight">
      {Array.from({ length: p }, (_, i) => (
        <div key={i} style={{ gridTemplateColumns: '88px minmax(0, 1fr)' }}>
          <span>stream {i + 1}</span>
          <span class="say" style={{ borderLeftColor: css(i) }}>
            <span style={{ color: 'var(--soft)' }}>own part {i + 1}, then: </span>
            {prompt} …
          </span>
        </div>
      ))}
    </div>
  )
}

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches

function Answers({ run, p, withWeights }: { run: TraceRun; p: number; withWeights: boolean }) {
  const at = useSignal(0)
  const playing = useSignal(!still())
  const n = run.version.value >= 0 ? run.tokens.length : 0
  useEffect(() => {
    if (!playing.value) return
    const timer = setInterval(() => {
      if (at.value + 1 < run.tokens.length) at.value++
      else if (run.state.value === 'done') playing.value = false
    }, 420)
    return () => clearInterval(timer)
  }, [playing.value])
  const token = run.tokens[Math.min(at.value, n - 1)]
  return (
    <>
      <p style={{ minHeight: '70px', fontSize: '16px' }}>
        <span style={{ color: 'var(--soft)' }}>{prompt}</span>
        {run.tokens
          .slice(0, at.value)
          .map(({ text }) => text)
          .join('')}
        <strong style={{ borderBottom: '3px solid var(--accent)' }}>{token ? token.text.replace(/\n/g, '↵ ') : ''}</strong>
      </p>
      <div class="eight">
        {Array.from({ length: p }, (_, i) => {
          const choice = token?.choices[i]
          const weight = token?.weights[i] ?? 0
          const same = choice !== undefined && choice.id === token!.id
          return (
            <div key={i}>
              <span>stream {i + 1}</span>
              <span
                class="say"
                style={{
                  borderLeftColor: css(i),
                  ...(withWeights && {
                    background: `linear-gradient(to right, ${css(i, 0.34)} ${percent(weight, 1)}, var(--surface) ${percent(weight, 1)})`,
                  }),
                }}
              >
                {choice ? shown(choice.token) : ''}
                {!withWeights && same && <span style={{ color: 'var(--soft)' }}> (what was written)</span>}
              </span>
              <span class="num">{choice ? (withWeights ? percent(weight) : percent(Math.exp(choice.logprob))) : ''}</span>
            </div>
          )
        })}
      </div>
      <div class="row middle">
        <Button onClick={() => (playing.value = !playing.value)} disabled={at.value >= length - 1 && !playing.value}>
          {playing.value ? 'Pause' : 'Play'}
        </Button>
        <label for="guide-at" style={{ flex: '1 1 240px' }}>
          Token {Math.min(at.value + 1, Math.max(1, n))} of {length}
          <input
            id="guide-at"
            type="range"
            min={0}
            max={Math.max(0, n - 1)}
            value={at.value}
            onInput={(event) => {
              playing.value = false
              at.value = event.currentTarget.valueAsNumber
            }}
          />
        </label>
      </div>
    </>
  )
}

function Without({ stream, p }: { stream: number; p: number }) {
  const n = knocked.version.value >= 0 ? knocked.tokens.length : 0
  const first = knocked.tokens.findIndex(({ id }, i) => id !== whole.tokens[i]?.id)
  const weights = meanWeights(whole.tokens, p)
  const after = meanWeights(knocked.tokens, p)
  return (
    <div class="block" style={{ gap: '18px' }}>
      <div class="two">
        {[
          { title: `All ${p} streams`, run: whole, shares: weights },
          { title: `Without stream ${stream + 1}`, run: knocked, shares: after },
        ].map(({ title, run, shares }) => (
          <section key={title} class="block" aria-label={title}>
            <h2>{title}</h2>
            <p style={{ minHeight: '168px' }}>
              <span style={{ color: 'var(--soft)' }}>{prompt}</span>
              {run.tokens.map(({ text }, i) => (
                <span key={i} style={first >= 0 && i >= first ? { background: 'var(--wash)' } : {}}>
                  {text}
                </span>
              ))}
            </p>
            <div
              style={{ display: 'flex', height: '14px', borderRadius: '4px', overflow: 'hidden', background: 'var(--surface)' }}
              role="img"
              aria-label={`Mean weights: ${shares.map((share, i) => `stream ${i + 1} ${percent(share)}`).join(', ')}`}
            >
              {shares.map((share, i) => (
                <i key={i} style={{ width: percent(share, 2), background: css(i) }} />
              ))}
            </div>
          </section>
        ))}
      </div>
      <p class="note">
        <span role="status">
          {n === 0
            ? 'It is being written.'
            : first < 0
              ? 'The same text: this stream was not needed for it.'
              : `The same seed; from token ${first + 1} on the texts part.`}
        </span>{' '}
        The bars are the mean weights of the streams. In the playground any stream can be knocked out, also in the middle of a
        text.
      </p>
    </div>
  )
}

/** The law comes with its panel's program. */
function LawHere() {
  const [Mini, setMini] = useState<ComponentType>()
  const [problem, setProblem] = useState('')
  const fetchIt = () =>
    void part(() => import('./law-mini.tsx')).then(
      ({ LawMini }) => setMini(() => LawMini),
      (error: Error) => setProblem(error.message),
    )
  useEffect(fetchIt, [])
  if (Mini) return <Mini />
  return problem ? (
    <p class="message" role="alert">
      {upper(problem)}.{' '}
      <button type="button" onClick={fetchIt}>
        Try again
      </button>
    </p>
  ) : null
}

interface Measured {
  readonly p: number
  readonly ms: number
}

function PriceHere({ model }: { model: ModelInfo | undefined }) {
  const measured = useSignal<readonly Measured[]>([])
  const problem = useSignal('')
  const all = model?.p ?? []
  const recorded = isRecorded()
  const id = model?.id
  useEffect(() => {
    const left = new AbortController()
    const measure = async () => {
      if (recorded) {
        const traces = await recordedTraces()
        measured.value = all.map((p) => ({
          p,
          ms: paceOf(traces.find((trace) => trace.p === p && trace.without.length === 0)?.events ?? []),
        }))
        return
      }
      for (const p of all) {
        const run = new TraceRun()
        await run.start({ model: id ?? '', prompt, p, without: [], seed: 1, temperature: 0.8, maxTokens: 40 })
        if (left.signal.aborted) return
        if (run.state.value !== 'done') throw new Error(run.problem.value)
        measured.value = [...measured.value, { p, ms: mean(run.tokens.slice(1).map(({ ms }) => ms)) }]
      }
    }
    measured.value = []
    measure().catch((error) => (problem.value = (error as Error).message))
    return () => left.abort()
  }, [model?.id])
  const most = Math.max(...measured.value.map(({ ms }) => ms), 1e-9)
  const base = measured.value.find(({ p }) => p === 1)?.ms
  return (
    <div class="block">
      {problem.value && (
        <p class="message" role="alert">
          {upper(problem.value)}.
        </p>
      )}
      <p class="unseen" role="status">
        {measured.value.length === all.length &&
          measured.value.map(({ p, ms }) => `P = ${p}: ${ms.toFixed(2)} milliseconds a token`).join(', ')}
      </p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">P</th>
              <th scope="col" class="text" style={{ width: '45%' }}>
                time a token
              </th>
              <th scope="col">ms</th>
              <th scope="col">of P = 1</th>
              <th scope="col">KV, 1K tokens</th>
            </tr>
          </thead>
          <tbody>
            {all.map((p) => {
              const found = measured.value.find((each) => each.p === p)
              return (
                <tr key={p} style={{ height: '40px' }}>
                  <th scope="row">{p}</th>
                  <td class="text">
                    <span
                      style={{
                        display: 'block',
                        height: '12px',
                        borderRadius: '3px',
                        background: 'var(--accent)',
                        width: found ? percent(found.ms / most, 1) : '0',
                      }}
                    />
                  </td>
                  <td>{found ? found.ms.toFixed(2) : '…'}</td>
                  <td>{found && base ? `${(found.ms / base).toFixed(2)}×` : '…'}</td>
                  <td>{model?.bytesPerPosition ? bytes(1024 * p * model.bytesPerPosition) : '–'}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
      <p class="note">
        {recorded
          ? 'As it was when the traces were recorded.'
          : 'Each P wrote 40 tokens, one after the other; the way to this page is in the times.'}{' '}
        This model is tiny, so that arithmetic and the way to the page show; the larger a model, the more its weights weigh, and
        the closer P = 8 comes to P = 1.
      </p>
    </div>
  )
}

function paceOf(list: readonly { readonly ms: number }[]): number {
  return mean(list.slice(1).map(({ ms }, i) => ms - list[i]!.ms))
}
