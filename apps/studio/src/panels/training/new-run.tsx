/** Starts a recycling run on a text that is dropped. */
import { useSignal } from '@preact/signals'
import { info, post } from '../../api.ts'
import { Button, Drop, sentence } from '../../ui.tsx'

export function NewRun({ onStarted }: { onStarted: (name: string) => void }) {
  const text = useSignal('')
  const file = useSignal('')
  const name = useSignal('')
  const p = useSignal(2)
  const steps = useSignal(60)
  const problem = useSignal('')
  const busy = useSignal(false)
  const model = info.value?.models[0]
  const take = async ([first]: File[]) => {
    problem.value = ''
    if (first!.size > 12e6) {
      problem.value = `${first!.name} has ${(first!.size / 1e6).toFixed(0)} MB; from the page at most 12 MB. Larger ones: parscale train recycle --data ${first!.name}`
      return
    }
    const read = new Uint8Array(await first!.arrayBuffer())
    const found = textOf(read)
    if (found.problem) {
      problem.value = `${first!.name} ${found.problem}${file.value && ` ${file.value} stays.`}`
      return
    }
    text.value = found.text
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
      <Drop label="Choose a text" accept=".txt,.md,text/plain" onFiles={take}>
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
        <Button
          class="main"
          disabled={busy.value || text.value === '' || name.value === '' || !model}
          onClick={() => void start()}
        >
          Train
        </Button>
      </div>
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
    </section>
  )
}

/** The text of a file, or what is wrong with it and what to do. */
function textOf(read: Uint8Array): { readonly text: string; readonly problem: string } {
  const none = (problem: string) => ({ text: '', problem })
  const again = 'Save it as UTF-8 and choose it again.'
  if (read.length === 0) return none('is empty. Choose a text of 2,000 characters or more.')
  if ((read[0] === 0xff && read[1] === 0xfe) || (read[0] === 0xfe && read[1] === 0xff))
    return none(`is a text in UTF-16; UTF-8 was expected. ${again}`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(read)
  } catch {
    return none(`is no text in UTF-8. ${again}`)
  }
  if (text.includes('\0'))
    return none('has NUL bytes, which no text has: is it a program, a picture or an archive? Choose a text file.')
  return text.trim() === '' ? none('has only white space. Choose a text of 2,000 characters or more.') : { text, problem: '' }
}
