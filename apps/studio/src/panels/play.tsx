/** The playground: a text while it is written, by how many streams, and what each of them had to say. */
import { useComputed, useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import {
  type Asked,
  connection,
  currentModel,
  info,
  inPage,
  json,
  type Message,
  type ModelInfo,
  recordedTraces,
  tokenize,
} from '../api.ts'
import { Markdown } from '../markdown.tsx'
import { replaceRoute, route } from '../route.ts'
import { bytes, css, disagreement, evenness, leader, percent } from '../streams.ts'
import { type ColourBy, Overview, TokenDetail, TokenView } from '../token-view.tsx'
import { pace, type Segment, TraceRun } from '../trace.ts'
import { Chips, Segments } from '../ui.tsx'

const defaultPrompt = 'The people of the United States'

/** Kept while other panels are looked at. */
const main = new TraceRun()
const beside = new TraceRun()

export function Play() {
  const query = useMemo(() => route.value.query, [])
  const modelId = useSignal(query.get('model') ?? '')
  const model = currentModel(modelId.value)
  const all = model?.p.length ? model.p : [1, 2, 4, 8]
  const asText = useSignal(query.get('prompt') ?? defaultPrompt)
  const p = useSignal(Number(query.get('p')) || all.at(-1)!)
  const seed = useSignal(numberOr(query.get('seed'), 7))
  const temperature = useSignal(numberOr(query.get('temperature'), 0.8))
  const maxTokens = useSignal(numberOr(query.get('tokens'), 120))
  const out = useSignal<readonly number[]>(listOf(query.get('out')))
  const compare = useSignal(query.get('beside') === '1')
  const colourBy = useSignal<ColourBy>('stream')
  const mode = useSignal<'text' | 'chat'>('text')
  const copied = useSignal('')
  const active = useSignal<TraceRun>(main)
  const running = useComputed(() => main.state.value === 'running' || beside.state.value === 'running')
  const recorded = useSignal<readonly string[]>([])

  useEffect(() => {
    if (!all.includes(p.value)) p.value = all.at(-1)!
  }, [all.join()])
  useEffect(() => {
    if (connection.value === 'alone')
      void recordedTraces().then((traces) => {
        recorded.value = [...new Set(traces.map(({ prompt }) => prompt))]
        const [first] = traces
        if (first) {
          seed.value = first.seed
          temperature.value = first.temperature
          maxTokens.value = 64
        }
      })
  }, [connection.value])
  // Streams that this P does not have cannot be out; one has to be left.
  const without = out.value.filter((stream) => stream < p.value).slice(0, p.value - 1)

  const asked = (prompt: string | readonly number[]): Asked => ({
    model: model?.id ?? '',
    ...{ prompt, p: p.value, without, seed: seed.value, temperature: temperature.value, maxTokens: maxTokens.value },
  })
  const address = (plan: readonly Segment[]) => {
    const more = new URLSearchParams({
      ...(modelId.value !== '' && { model: modelId.value }),
      ...{
        prompt: asText.value,
        p: String(plan[0]?.p ?? p.value),
        seed: String(seed.value),
        temperature: String(temperature.value),
      },
      tokens: String(maxTokens.value),
      ...((plan[0]?.without ?? without).length > 0 && { out: (plan[0]?.without ?? without).map((i) => i + 1).join(',') }),
      ...(compare.value && { beside: '1' }),
      ...(plan.length > 1 && {
        changes: plan
          .slice(1)
          .map(({ at, p, without }) => [at, p, ...without.map((i) => i + 1)].join('-'))
          .join('.'),
      }),
    })
    return more
  }
  const go = async (plan: readonly Segment[] = []) => {
    copied.value = ''
    const prompt = asText.value
    if (compare.value) void beside.start({ ...asked(prompt), p: 1, without: [] })
    await main.start(asked(prompt), plan)
  }
  const change = (next: { p?: number; out?: readonly number[] }) => {
    if (next.p !== undefined) p.value = next.p
    if (next.out !== undefined) out.value = next.out
    const setting = { p: p.value, without: out.value.filter((stream) => stream < p.value).slice(0, p.value - 1) }
    main.change(setting)
  }
  // An address with a trace repeats it.
  const begun = useRef(false)
  useEffect(() => {
    if (begun.current || !query.has('prompt') || model?.state !== 'ready') return
    begun.current = true
    void go(planOf(query.get('changes')))
  }, [model?.state])

  const share = async () => {
    const query = address(main.segments)
    replaceRoute('play', query)
    try {
      await navigator.clipboard.writeText(location.href)
      copied.value = 'The address is on the clipboard, and in the address bar.'
    } catch {
      copied.value = 'The address bar has the address.'
    }
  }
  const shownRun = compare.value ? active.value : main
  const cursor = shownRun.cursor.value
  const token = cursor === undefined ? undefined : shownRun.tokens[cursor]

  return (
    <div class="panel">
      <div>
        <h1>Playground</h1>
        <p class="lead">
          P streams of one model read the same text, each through a prefix of its own, and a small network weighs what they say.
          Each token stands on the colour of the stream that weighed most; the bar below it has all weights.
        </p>
      </div>
      <div class="block">
        <div class="row">
          <Segments
            label="What is written"
            name="mode"
            value={mode.value}
            options={[
              ['text', 'A text that goes on'],
              ['chat', 'A conversation'],
            ]}
            onChange={(value) => (mode.value = value)}
          />
          {(info.value?.models.length ?? 0) > 1 && (
            <div class="field">
              <label for="play-model">Model</label>
              <select id="play-model" value={model?.id} onChange={(event) => (modelId.value = event.currentTarget.value)}>
                {info.value!.models.map(({ id }) => (
                  <option key={id}>{id}</option>
                ))}
              </select>
            </div>
          )}
        </div>
        {mode.value === 'text' && (
          <div class="field">
            <label for="prompt">Prompt</label>
            {recorded.value.length > 0 && !inPage.value ? (
              <select id="prompt" value={asText.value} onChange={(event) => (asText.value = event.currentTarget.value)}>
                {recorded.value.map((prompt) => (
                  <option key={prompt}>{prompt}</option>
                ))}
              </select>
            ) : (
              <textarea
                id="prompt"
                rows={2}
                value={asText.value}
                onInput={(event) => (asText.value = event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void go()
                }}
              />
            )}
          </div>
        )}
        <div class="row">
          <Segments
            label="Streams, P"
            name="p"
            value={String(p.value)}
            options={all.map((n) => [String(n), String(n)])}
            onChange={(value) => change({ p: Number(value) })}
          />
          <NumberField
            id="tokens"
            label="Tokens"
            value={maxTokens.value}
            least={1}
            most={10_000}
            onChange={(value) => (maxTokens.value = value)}
          />
          <NumberField
            id="temperature"
            label="Temperature"
            value={temperature.value}
            least={0}
            most={2}
            step={0.1}
            onChange={(value) => (temperature.value = value)}
          />
          <NumberField
            id="seed"
            label="Seed"
            value={seed.value}
            least={0}
            most={2 ** 31}
            onChange={(value) => (seed.value = value)}
          />
          {mode.value === 'text' && (
            <label class="check">
              <input
                type="checkbox"
                checked={compare.value}
                onChange={(event) => (compare.value = event.currentTarget.checked)}
              />
              P = 1 beside it
            </label>
          )}
        </div>
        <div class="field">
          <span class="label" id="out-label">
            Streams that have a say (choose one to knock it out, also while the text is written)
          </span>
          {p.value > 1 ? (
            <Chips
              labelledBy="out-label"
              p={p.value}
              out={without}
              onToggle={(stream) => {
                const next = without.includes(stream)
                  ? without.filter((i) => i !== stream)
                  : [...without, stream].sort((a, b) => a - b)
                if (next.length < p.value) change({ out: next })
              }}
            />
          ) : (
            <p class="note" style={{ minHeight: '36px' }}>
              P = 1 is the plain model: no prefix, nothing to weigh.
            </p>
          )}
        </div>
        {mode.value === 'text' && (
          <div class="row middle">
            {running.value ? (
              <button
                type="button"
                class="main"
                onClick={() => {
                  main.stop()
                  beside.stop()
                }}
              >
                Stop
              </button>
            ) : (
              <button type="button" class="main" disabled={model?.state !== 'ready'} onClick={() => void go()}>
                {main.tokens.length > 0 && main.version.value > 0 ? 'Write again' : 'Write'}
              </button>
            )}
            <button
              type="button"
              disabled={main.state.value !== 'stopped' && main.state.value !== 'lost'}
              onClick={() => void main.resume({ p: p.value, without })}
            >
              Go on
            </button>
            <button type="button" disabled={running.value || main.version.value === 0} onClick={() => void share()}>
              Link to this trace
            </button>
            <span class="note" role="status">
              {copied.value || stateWords(main, model)}
            </span>
          </div>
        )}
        <Trouble run={main} onResume={() => void main.resume({ p: p.value, without })} />
      </div>

      {mode.value === 'chat' ? (
        <Talk model={model} asked={asked} />
      ) : (
        <div class={compare.value ? 'two' : 'block'}>
          {compare.value && (
            <section class="block" aria-labelledby="beside-title">
              <h2 id="beside-title">P = 1</h2>
              <div onPointerMove={() => (active.value = beside)} onFocusIn={() => (active.value = beside)}>
                <TokenView
                  tokens={beside.tokens}
                  version={beside.version}
                  cursor={beside.cursor}
                  label="The text of P = 1"
                  empty="The plain model writes here, with the same seed."
                  colourBy={colourBy.value}
                />
              </div>
            </section>
          )}
          <section class="block" aria-label="The text">
            {compare.value && <h2>P = {main.segments.at(-1)?.p ?? p.value}</h2>}
            <div onPointerMove={() => (active.value = main)} onFocusIn={() => (active.value = main)}>
              <TokenView
                tokens={main.tokens}
                version={main.version}
                cursor={main.cursor}
                label="The text"
                empty="Write, and the text stands here."
                colourBy={colourBy.value}
                marks={main.version.value >= 0 ? main.segments.slice(1).map(({ at, p }) => ({ at, text: `P = ${p}` })) : []}
              />
            </div>
          </section>
        </div>
      )}
      {mode.value === 'text' && (
        <>
          <div class="row">
            <Segments
              label="Colour of a token"
              name="colour"
              value={colourBy.value}
              options={[
                ['stream', 'leading stream'],
                ['entropy', 'evenness'],
                ['disagreement', 'disagreement'],
              ]}
              onChange={(value) => (colourBy.value = value)}
            />
            <p class="note" style={{ flex: '1 1 320px' }}>
              {
                {
                  stream: 'The colour of the stream that weighs most, stronger the more it does.',
                  entropy: 'The darker, the more evenly the streams weigh.',
                  disagreement: 'The darker, the more streams would have said another token.',
                }[colourBy.value]
              }
            </p>
          </div>
          <div class="aside">
            <TokenDetail token={token} index={cursor} out={segmentAt(shownRun, cursor)?.without ?? []} />
            <Costs model={model} runs={[main, beside]} />
          </div>
          <section class="block" aria-labelledby="whole-title">
            <h2 id="whole-title">The whole text</h2>
            <Overview
              tokens={main.tokens}
              version={main.version}
              onPick={(index) => {
                main.cursor.value = index
                active.value = main
              }}
            />
            <Summary run={main} />
          </section>
        </>
      )}
    </div>
  )
}

function segmentAt(run: TraceRun, index: number | undefined): Segment | undefined {
  return index === undefined ? undefined : run.segments.findLast(({ at }) => at <= index)
}

function stateWords(run: TraceRun, model: ModelInfo | undefined): string {
  if (model?.state === 'failed') return `The model cannot be loaded: ${model.problem}`
  if (model?.state !== 'ready') return connection.value === 'gone' ? 'The server does not answer.' : 'The model is being loaded.'
  const n = run.version.value >= 0 ? run.tokens.length : 0
  switch (run.state.value) {
    case 'running':
      return `${n} tokens, ${run.recentMs >= 0 ? `${run.recentMs.toFixed(1)} ms each` : 'reading the prompt'}`
    case 'stopped':
      return `Stopped after ${n} tokens.`
    case 'done':
      return `${n} tokens, ${run.recentMs.toFixed(1)} ms each.`
    default:
      return ''
  }
}

function Trouble({ run, onResume }: { run: TraceRun; onResume: () => void }) {
  const { value: state } = run.state
  if (state === 'refused')
    return (
      <p class="message" role="alert">
        {run.problem.value}
      </p>
    )
  if (state !== 'lost') return null
  const back = connection.value === 'here'
  return (
    <div class="message" role="alert">
      <span>
        {back
          ? 'The server is back.'
          : `${sentence(run.problem.value)} The ${run.tokens.length} tokens so far are kept; it is looked for.`}
      </span>
      <button type="button" disabled={!back} onClick={onResume}>
        Go on where it stopped
      </button>
    </div>
  )
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

function Summary({ run }: { run: TraceRun }) {
  const tokens = run.version.value >= 0 ? run.tokens.filter(({ weights }) => weights.length > 1) : []
  const p = tokens.at(-1)?.weights.length ?? 0
  const same = tokens.filter(({ weights }) => weights.length === p)
  const mean = (of: (token: (typeof same)[number]) => number) => same.reduce((sum, token) => sum + of(token), 0) / same.length
  return (
    <div class="block" style={{ minHeight: '120px' }}>
      {same.length === 0 ? (
        <p class="note">From left to right the tokens, a row for each stream: darker where it weighs more.</p>
      ) : (
        <>
          <dl class="stats">
            <div>
              <dt>tokens with P = {p}</dt>
              <dd>{same.length}</dd>
            </div>
            <div>
              <dt>evenness of the weights</dt>
              <dd>
                {mean(({ weights }) => evenness(weights)).toFixed(3)} <small>of 1</small>
              </dd>
            </div>
            <div>
              <dt>streams that disagree</dt>
              <dd>{percent(mean(disagreement))}</dd>
            </div>
            <div>
              <dt>mean probability</dt>
              <dd>{percent(mean(({ logprob }) => Math.exp(logprob)))}</dd>
            </div>
          </dl>
          <div class="legend">
            {Array.from({ length: p }, (_, i) => (
              <span key={i}>
                <i style={{ background: css(i) }} />
                {i + 1}: weighs {percent(mean(({ weights }) => weights[i]!))}, leads{' '}
                {percent(mean(({ weights }) => Number(leader(weights) === i)))}
              </span>
            ))}
          </div>
        </>
      )}
    </div>
  )
}

/** Time per token and memory, by P, as they were here. */
function Costs({ model, runs }: { model: ModelInfo | undefined; runs: readonly TraceRun[] }) {
  const now = useSignal<{ rssBytes: number; models: { id: string; cacheBytes: number }[] } | undefined>(undefined)
  const running = runs.some(({ state }) => state.value === 'running')
  useEffect(() => {
    if (connection.value !== 'here' || inPage.value) return
    let stopped = false
    const look = async () => {
      try {
        now.value = await json('/studio/now')
      } catch {
        // The connection says so.
      }
      if (!stopped) timer = setTimeout(look, running ? 700 : 5000)
    }
    let timer = setTimeout(look, 0)
    return () => {
      stopped = true
      clearTimeout(timer)
    }
  }, [running, connection.value])
  const all = model?.p ?? []
  const base = pace.value.get(1)?.ms
  const context = 1024
  return (
    <section class="card" aria-labelledby="cost-title">
      <h2 id="cost-title">What it costs here</h2>
      <table style={{ marginTop: '8px' }}>
        <thead>
          <tr>
            <th scope="col">P</th>
            <th scope="col">ms a token</th>
            <th scope="col">of P = 1</th>
            <th scope="col">KV, 1K</th>
          </tr>
        </thead>
        <tbody>
          {all.map((p) => {
            const found = pace.value.get(p)
            return (
              <tr key={p}>
                <td>{p}</td>
                <td>{found ? found.ms.toFixed(2) : '–'}</td>
                <td>{found && base ? `${(found.ms / base).toFixed(2)}×` : '–'}</td>
                <td>{model?.bytesPerPosition ? bytes(p * context * model.bytesPerPosition) : '–'}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
      <p class="note" style={{ marginTop: '10px' }}>
        Medians of the texts that ran alone, the way to this page included. KV: keys and values of 1,024 tokens.
      </p>
      <dl class="stats" style={{ marginTop: '12px', gridTemplateColumns: '1fr 1fr' }}>
        <div>
          <dt>keys and values now</dt>
          <dd>{now.value ? bytes(now.value.models.find(({ id }) => id === model?.id)?.cacheBytes ?? 0) : '–'}</dd>
        </div>
        <div>
          <dt>memory of the server</dt>
          <dd>{now.value ? bytes(now.value.rssBytes) : '–'}</dd>
        </div>
      </dl>
    </section>
  )
}

/** A conversation: turns can be edited and written anew. */
function Talk({ model, asked }: { model: ModelInfo | undefined; asked: (prompt: readonly number[]) => Asked }) {
  const turns = useSignal<readonly Message[]>([])
  const draft = useSignal('')
  const editing = useSignal<number | undefined>(undefined)
  const run = useMemo(() => new TraceRun(), [])
  const problem = useSignal('')
  if (model?.state === 'ready' && !model.chat)
    return (
      <p class="message fine">
        {model.id} has no chat template: it goes on with texts and does not answer. Load a model that was trained on
        conversations, as with <code>parscale studio ./SmolLM2-135M-Instruct.gguf</code>.
      </p>
    )
  const answer = async (conversation: readonly Message[]) => {
    turns.value = conversation
    problem.value = ''
    try {
      const ids = await tokenize(model!.id, conversation)
      await run.start({ ...asked(ids) })
      if (run.tokens.length > 0) turns.value = [...conversation, { role: 'assistant', content: run.text }]
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error)
    }
  }
  const send = () => {
    const content = draft.value.trim()
    if (content === '' || run.state.value === 'running') return
    const before = editing.value === undefined ? turns.value : turns.value.slice(0, editing.value)
    editing.value = undefined
    draft.value = ''
    void answer([...before, { role: 'user', content }])
  }
  const running = run.state.value === 'running'
  const live = running && run.version.value >= 0 ? run.text : ''
  return (
    <section class="block" aria-label="Conversation">
      <div class="talk">
        {turns.value.map((turn, i) => (
          <div class={`turn ${turn.role}`} key={i}>
            <h3>{turn.role === 'user' ? 'You' : model?.id}</h3>
            <div class="said">{turn.role === 'user' ? turn.content : <Markdown text={turn.content} />}</div>
            {turn.role === 'user' && !running && (
              <div>
                <button
                  type="button"
                  class="quiet"
                  onClick={() => {
                    editing.value = i
                    draft.value = turn.content
                  }}
                >
                  Edit
                </button>
                <button type="button" class="quiet" onClick={() => void answer(turns.value.slice(0, i + 1))}>
                  Answer again
                </button>
              </div>
            )}
          </div>
        ))}
        {running && (
          <div class="turn assistant">
            <h3>{model?.id}</h3>
            <div class="said" style={{ whiteSpace: 'pre-wrap' }}>
              {live || '…'}
            </div>
          </div>
        )}
      </div>
      {(problem.value || run.state.value === 'refused' || run.state.value === 'lost') && (
        <p class="message" role="alert">
          {problem.value || run.problem.value}
        </p>
      )}
      <div class="field">
        <label for="message">{editing.value === undefined ? 'Message' : 'The message anew; what follows it is dropped'}</label>
        <textarea
          id="message"
          rows={2}
          value={draft.value}
          onInput={(event) => (draft.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.shiftKey) {
              event.preventDefault()
              send()
            }
          }}
        />
      </div>
      <div class="row">
        {running ? (
          <button type="button" class="main" onClick={() => run.stop()}>
            Stop
          </button>
        ) : (
          <button type="button" class="main" disabled={model?.state !== 'ready'} onClick={send}>
            Send
          </button>
        )}
      </div>
      <TokenView
        tokens={run.tokens}
        version={run.version}
        cursor={run.cursor}
        label="The last answer"
        empty="The tokens of the answer stand here."
        colourBy="stream"
        height={220}
      />
      <TokenDetail
        token={run.cursor.value === undefined ? undefined : run.tokens[run.cursor.value]}
        index={run.cursor.value}
        out={[]}
      />
    </section>
  )
}

function NumberField({
  id,
  label,
  value,
  least,
  most,
  step = 1,
  onChange,
}: {
  id: string
  label: string
  value: number
  least: number
  most: number
  step?: number
  onChange: (value: number) => void
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={least}
        max={most}
        step={step}
        value={value}
        // While it is typed as well: the page may be drawn anew before the field is left.
        onInput={(event) => {
          const next = event.currentTarget.valueAsNumber
          if (next >= least && next <= most) onChange(next)
        }}
        onChange={(event) => {
          const next = event.currentTarget.valueAsNumber
          if (Number.isFinite(next)) onChange(Math.min(most, Math.max(least, next)))
        }}
      />
    </div>
  )
}

function numberOr(text: string | null, otherwise: number): number {
  const value = Number(text)
  return text === null || text === '' || !Number.isFinite(value) ? otherwise : value
}

const listOf = (text: string | null): number[] =>
  (text ?? '')
    .split(',')
    .filter((part) => /^\d+$/.test(part))
    .map((part) => Number(part) - 1)

/** `24-8-3.60-1`: from token 24 on P = 8 without stream 3, from 60 on P = 1. */
function planOf(text: string | null): Segment[] {
  return (text ?? '')
    .split('.')
    .filter((part) => /^\d+(-\d+)+$/.test(part))
    .map((part) => {
      const [at, p, ...out] = part.split('-').map(Number)
      return { at: at!, p: p!, without: out.map((stream) => stream - 1) }
    })
}
