/** How a text is doing, in words, and what to do when it was cut off. */
import { connection, type ModelInfo, trouble } from '../../api.ts'
import type { TraceRun } from '../../trace.ts'
import { Button, sentence } from '../../ui.tsx'

export function stateWords(run: TraceRun, model: ModelInfo | undefined): string {
  if (model?.state === 'failed') return `The model cannot be loaded: ${model.problem}`
  if (model?.state !== 'ready') return connection.value === 'gone' ? `${sentence(trouble.value)}.` : 'The model is being loaded.'
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

export function Trouble({ run, onResume }: { run: TraceRun; onResume: () => void }) {
  const { value: state } = run.state
  if (state === 'refused')
    return (
      <p class="message" role="alert">
        {sentence(run.problem.value)}
      </p>
    )
  if (state !== 'lost') return null
  const back = connection.value === 'here'
  return (
    <div class="message" role="alert">
      <span>
        {back
          ? 'The server is back.'
          : `${sentence(run.problem.value)}. The ${run.tokens.length} tokens so far are kept; it is looked for.`}
      </span>
      <Button disabled={!back} onClick={onResume}>
        Go on where it stopped
      </Button>
    </div>
  )
}
