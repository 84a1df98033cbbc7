/** A conversation: turns can be edited and written anew. */
import { useSignal } from '@preact/signals'
import { useMemo, useRef } from 'preact/hooks'
import { type Asked, type Message, type ModelInfo, tokenize } from '../../api.ts'
import { Markdown } from '../../markdown.tsx'
import { TokenDetail, TokenView } from '../../token-view.tsx'
import { TraceRun } from '../../trace.ts'
import { Button, sentence } from '../../ui.tsx'

export function Talk({ model, asked }: { model: ModelInfo | undefined; asked: (prompt: readonly number[]) => Asked }) {
  const turns = useSignal<readonly Message[]>([])
  const draft = useSignal('')
  const editing = useSignal<number | undefined>(undefined)
  const run = useMemo(() => new TraceRun(), [])
  const problem = useSignal('')
  const message = useRef<HTMLTextAreaElement>(null)
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
      {/* Whole turns are read out, not an answer that is being written. */}
      <div class="talk" role="log" aria-label="What was said" aria-busy={running}>
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
                    message.current?.focus()
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
          {sentence(problem.value || run.problem.value)}
        </p>
      )}
      <div class="field">
        <label for="message">
          {editing.value === undefined ? 'Message' : 'The message anew; what follows it is dropped. Escape leaves it as it was'}
        </label>
        <textarea
          id="message"
          ref={message}
          rows={2}
          value={draft.value}
          onInput={(event) => (draft.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.shiftKey) {
              event.preventDefault()
              send()
            }
            if (event.key === 'Escape' && editing.value !== undefined) {
              editing.value = undefined
              draft.value = ''
            }
          }}
        />
      </div>
      <div class="row">
        {running ? (
          <Button class="main" onClick={() => run.stop()}>
            Stop
          </Button>
        ) : (
          <Button class="main" disabled={model?.state !== 'ready'} onClick={send}>
            Send
          </Button>
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
