/** A diagnosis of a model on a text. */
import { useSignal } from '@preact/signals'
import { info, post } from '../../api.ts'
import { Button, sentence } from '../../ui.tsx'
import { type Diagnosed, DiagnosisView } from './diagnosis-view.tsx'

export function Diagnose() {
  const text = useSignal('')
  const found = useSignal<Diagnosed | undefined>(undefined)
  const problem = useSignal('')
  const busy = useSignal(false)
  const model = info.value?.models[0]
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
        <Button class="main" disabled={busy.value || text.value.trim() === '' || choices.length === 0} onClick={() => void run()}>
          {busy.value ? 'Reading' : 'Diagnose'}
        </Button>
        {choices.length === 0 && used && <span class="note">{used.id} has one stream: there is nothing to compare.</span>}
      </div>
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
      <p class="unseen" role="status">
        {busy.value
          ? 'The text is read.'
          : found.value &&
            `Diagnosed: over ${found.value.tokens} tokens the streams together lose ${found.value.losses.aggregate.toFixed(3)} nats a token.`}
      </p>
      {found.value && <DiagnosisView found={found.value} />}
    </section>
  )
}
