/** The playground: a text while it is written, by how many streams, and what each of them had to say. */
import { useComputed, useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { type Asked, allModels, currentModel, isRecorded, recordedTraces } from '../api.ts'
import { PageModelBar } from '../page-model-bar.tsx'
import { replaceRoute, route } from '../route.ts'
import { type ColourBy, Overview, TokenDetail, TokenView } from '../token-view.tsx'
import { type Segment, TraceRun } from '../trace.ts'
import { Button, Chips, NumberField, PanelHead, Segments, sentence } from '../ui.tsx'
import { addressOf, bounds, readAddress } from './play/address.ts'
import { Costs } from './play/costs.tsx'
import { stateWords, Trouble } from './play/state.tsx'
import { Summary } from './play/summary.tsx'
import { Talk } from './play/talk.tsx'

const defaultPrompt = 'The people of the United States'
/** Texts of kinds that different streams lead in the model that ships. */
const beginnings = [
  ['a president', defaultPrompt],
  ['the Bible', 'And the LORD said unto Moses'],
  ['a novel', 'Emma was not at that time in a humour'],
] as const

/** Kept while other panels are looked at. */
const main = new TraceRun()
const beside = new TraceRun()

export function Play() {
  const linked = useMemo(() => readAddress(route.value.query), [])
  const modelId = useSignal(linked.model ?? '')
  const model = currentModel(modelId.value)
  const all = model?.p.length ? model.p : [1, 2, 4, 8]
  const asText = useSignal(linked.prompt ?? defaultPrompt)
  const p = useSignal(linked.p ?? all.at(-1)!)
  const seed = useSignal(linked.seed ?? 7)
  const temperature = useSignal(linked.temperature ?? 0.8)
  const maxTokens = useSignal(linked.tokens ?? 120)
  const out = useSignal<readonly number[]>(linked.without)
  const compare = useSignal(linked.beside ?? false)
  const missing = useSignal<readonly string[]>([])
  const colourBy = useSignal<ColourBy>('stream')
  const mode = useSignal<'text' | 'chat'>('text')
  const copied = useSignal('')
  const active = useSignal<TraceRun>(main)
  const running = useComputed(() => main.state.value === 'running' || beside.state.value === 'running')
  const recorded = useSignal<readonly string[]>([])

  useEffect(() => {
    if (model?.state !== 'ready') return
    const is = `the model is ${model.id}`
    const others = [linked.p ?? all[0]!, ...linked.plan.map(({ p }) => p)].filter((n) => !all.includes(n))
    missing.value = [
      ...(linked.model && linked.model !== model.id && modelId.value === linked.model
        ? [`${is}, as there is none that is called “${linked.model.slice(0, 40)}”.`]
        : []),
      ...(others.length > 0 ? [`${is}, which has no P = ${others.join(', ')}: it has ${all.join(', ')}.`] : []),
    ]
    if (!all.includes(p.value)) p.value = all.at(-1)!
  }, [all.join(), model?.id, model?.state])
  useEffect(() => {
    if (isRecorded())
      void recordedTraces().then(
        (traces) => {
          recorded.value = [...new Set(traces.map(({ prompt }) => prompt))]
          const [first] = traces
          if (first) {
            seed.value = first.seed
            temperature.value = first.temperature
            maxTokens.value = 64
          }
        },
        // Whoever asks for a text is told.
        () => {},
      )
  }, [isRecorded()])
  // Streams that this P does not have cannot be out; one has to be left.
  const without = out.value.filter((stream) => stream < p.value).slice(0, p.value - 1)

  const asked = (prompt: string | readonly number[]): Asked => ({
    model: model?.id ?? '',
    ...{ prompt, p: p.value, without, seed: seed.value, temperature: temperature.value, maxTokens: maxTokens.value },
  })
  const settings = () => ({
    ...{ model: modelId.value, prompt: asText.value, p: p.value, without, seed: seed.value, temperature: temperature.value },
    ...{ tokens: maxTokens.value, beside: compare.value },
  })
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
    if (begun.current || linked.prompt === undefined || model?.state !== 'ready') return
    begun.current = true
    void go(linked.plan.filter((change) => all.includes(change.p)))
  }, [model?.state])

  const share = async () => {
    replaceRoute('play', addressOf({ ...settings(), plan: main.segments }))
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
      <PanelHead name="play" />
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
          {allModels().length > 1 && (
            <div class="field">
              <label for="play-model">Model</label>
              <select id="play-model" value={model?.id} onChange={(event) => (modelId.value = event.currentTarget.value)}>
                {allModels().map(({ id }) => (
                  <option key={id}>{id}</option>
                ))}
              </select>
            </div>
          )}
        </div>
        {mode.value === 'text' && (
          <div class="field">
            <label for="prompt">Prompt</label>
            {isRecorded() && recorded.value.length > 0 ? (
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
            {!isRecorded() && (
              <p class="note">
                Begin like{' '}
                {beginnings.map(([name, text]) => (
                  <button key={name} type="button" class="quiet" onClick={() => (asText.value = text)}>
                    {name}
                  </button>
                ))}
              </p>
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
            {...bounds.tokens}
            onChange={(value) => (maxTokens.value = value)}
          />
          <NumberField
            id="temperature"
            label="Temperature"
            value={temperature.value}
            {...bounds.temperature}
            step={0.1}
            onChange={(value) => (temperature.value = value)}
          />
          <NumberField id="seed" label="Seed" value={seed.value} {...bounds.seed} onChange={(value) => (seed.value = value)} />
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
              P = 1 is the plain model: no parts of streams, nothing to weigh.
            </p>
          )}
        </div>
        {mode.value === 'text' && (
          <div class="row middle">
            {running.value ? (
              <Button
                class="main"
                onClick={() => {
                  main.stop()
                  beside.stop()
                }}
              >
                Stop
              </Button>
            ) : (
              <Button class="main" disabled={model?.state !== 'ready'} onClick={() => void go()}>
                {main.tokens.length > 0 && main.version.value > 0 ? 'Write again' : 'Write'}
              </Button>
            )}
            <Button
              disabled={main.state.value !== 'stopped' && main.state.value !== 'lost'}
              onClick={() => void main.resume({ p: p.value, without })}
            >
              Go on
            </Button>
            <Button disabled={running.value || main.version.value === 0} onClick={() => void share()}>
              Link to this trace
            </Button>
            {/* Numbers that change with each token are not read out. */}
            <span class="note state" role="status" aria-live={running.value ? 'off' : 'polite'}>
              {copied.value || stateWords(main, model)}
            </span>
          </div>
        )}
        <PageModelBar model={model?.id} />
        {[...linked.problems, ...missing.value].map((problem) => (
          <p class="message" role="alert" key={problem}>
            {sentence(`the address of this text: ${problem}`)}
          </p>
        ))}
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
