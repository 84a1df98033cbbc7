/** The output of /v1/responses as it grows: its items, and the events that tell of them. */
import { newId } from '../answer.ts'
import type { OutputEvent } from './parser.ts'

interface Item {
  readonly type: 'reasoning' | 'message' | 'function_call'
  readonly id: string
  readonly [field: string]: unknown
}

export type ItemEvent = { readonly type: string; readonly [field: string]: unknown }

export class ResponseItems {
  readonly output: Item[] = []
  #open: { kind: OutputEvent['type']; id: string; callId: string; name: string; text: string } | undefined

  /** Index of the item that is open, or of the next one. */
  get #index(): number {
    return this.output.length
  }

  *push(events: readonly OutputEvent[]): Generator<ItemEvent> {
    for (const event of events) {
      if (event.type === 'call') {
        yield* this.close('completed')
        yield* this.#begin('call', event.name)
        continue
      }
      const kind = event.type === 'arguments' ? 'call' : event.type
      if (this.#open?.kind !== kind) {
        yield* this.close('completed')
        yield* this.#begin(kind)
      }
      this.#open!.text += event.text
      const at = { item_id: this.#open!.id, output_index: this.#index }
      if (kind === 'call') yield { type: 'response.function_call_arguments.delta', ...at, delta: event.text }
      else if (kind === 'reasoning') yield { type: 'response.reasoning_text.delta', ...at, content_index: 0, delta: event.text }
      else yield { type: 'response.output_text.delta', ...at, content_index: 0, delta: event.text, logprobs: [] }
    }
  }

  /** Ends the item that is open. */
  *close(status: 'completed' | 'incomplete'): Generator<ItemEvent> {
    const open = this.#open
    if (!open) return
    const at = { item_id: open.id, output_index: this.#index }
    const item = this.#item(status)
    if (open.kind === 'call') {
      yield { type: 'response.function_call_arguments.done', ...at, name: open.name, arguments: open.text }
    } else {
      const [part] = item.content as [object]
      if (open.kind === 'reasoning') yield { type: 'response.reasoning_text.done', ...at, content_index: 0, text: open.text }
      else yield { type: 'response.output_text.done', ...at, content_index: 0, text: open.text, logprobs: [] }
      yield { type: 'response.content_part.done', ...at, content_index: 0, part }
    }
    yield { type: 'response.output_item.done', output_index: this.#index, item }
    this.output.push(item)
    this.#open = undefined
  }

  *#begin(kind: OutputEvent['type'], name = ''): Generator<ItemEvent> {
    const prefix = { call: 'fc_', reasoning: 'rs_', content: 'msg_', arguments: 'fc_' }[kind]
    this.#open = { kind, id: newId(prefix), callId: newId('call_'), name, text: '' }
    const item = this.#item('in_progress')
    const added = kind === 'call' ? item : { ...item, content: [] }
    yield { type: 'response.output_item.added', output_index: this.#index, item: added }
    if (kind === 'call') return
    const [part] = item.content as [object]
    yield { type: 'response.content_part.added', item_id: this.#open.id, output_index: this.#index, content_index: 0, part }
  }

  #item(status: string): Item {
    const { kind, id, callId, name, text } = this.#open!
    if (kind === 'call') return { type: 'function_call', id, call_id: callId, name, arguments: text, status }
    if (kind === 'reasoning') return { type: 'reasoning', id, summary: [], content: [{ type: 'reasoning_text', text }], status }
    return {
      type: 'message',
      id,
      status,
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
    }
  }
}
