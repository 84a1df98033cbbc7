/** Splits a model's answer into reasoning, content and tool calls, as it comes. What is none of these is content, never lost. */
import { type CallEvent, CallReader } from './calls.ts'
import type { OutputForm } from './form.ts'

export type OutputEvent =
  | CallEvent
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'content'; readonly text: string }

export interface ParserOptions extends Pick<OutputForm, 'reasoning' | 'tools'> {
  /** The prompt ends with the opening of the reasoning. */
  readonly reasons: boolean
}

/** What comes before a call. */
const callMarks = {
  hermes: '<tool_call>',
  mistral: '[TOOL_CALLS]',
  'mistral-args': '[TOOL_CALLS]',
  llama: '<|python_tag|>',
} as const

/** start: nothing but white space so far, so that anything may come. The others say what is being read. */
type Mode = 'start' | 'reasoning' | 'content' | 'calls'

export class OutputParser {
  readonly #reasoning: ParserOptions['reasoning']
  readonly #callMark: string | undefined
  /** The end of a call, where there is one; else calls go on to the end. */
  readonly #callEnd: string | undefined
  readonly #bareObjects: boolean
  readonly #calls: CallReader
  #mode: Mode
  #held = ''
  /** In reasoning: nothing but white space so far. */
  #blank = true
  /** What opened the calls that are being read, until one is found. */
  #opening = ''
  #said = false
  #events: OutputEvent[] = []

  constructor({ reasoning, tools, reasons }: ParserOptions) {
    this.#reasoning = reasoning
    this.#callMark = tools && callMarks[tools]
    this.#callEnd = tools === 'hermes' ? '</tool_call>' : undefined
    this.#bareObjects = tools === 'llama'
    this.#calls = new CallReader({ bareNames: tools === 'mistral' || tools === 'mistral-args' })
    this.#mode = reasoning && reasons ? 'reasoning' : reasoning || tools ? 'start' : 'content'
  }

  get calls(): number {
    return this.#calls.count
  }

  push(text: string): OutputEvent[] {
    this.#held += text
    return this.#read(false)
  }

  end(): OutputEvent[] {
    return this.#read(true)
  }

  #read(last: boolean): OutputEvent[] {
    this.#events = []
    let mode: Mode
    do {
      mode = this.#mode
      if (mode === 'start') this.#readStart(last)
      else if (mode === 'reasoning') this.#readReasoning(last)
      else if (mode === 'content') this.#readContent(last)
      else this.#readCalls(last)
    } while (this.#mode !== mode || (mode === 'calls' && this.#mode === 'calls' && this.#held !== '' && last))
    return this.#events
  }

  #readStart(last: boolean): void {
    this.#held = this.#held.trimStart()
    if (this.#held === '') return
    const open = this.#said ? undefined : this.#reasoning?.open
    const marks = [open, this.#callMark].filter((mark) => mark !== undefined)
    if (open !== undefined && this.#held.startsWith(open)) {
      this.#held = this.#held.slice(open.length)
      this.#enter('reasoning')
    } else if (this.#callMark !== undefined && this.#held.startsWith(this.#callMark)) this.#openCalls(this.#callMark)
    else if (this.#bareObjects && this.#held.startsWith('{')) this.#openCalls('')
    else if (last || !marks.some((mark) => mark.startsWith(this.#held))) this.#enter('content')
  }

  #readReasoning(last: boolean): void {
    const { close } = this.#reasoning!
    if (this.#blank) this.#held = this.#held.trimStart()
    const at = this.#held.indexOf(close)
    const end = at >= 0 ? at : last ? this.#held.length : this.#held.length - heldLength(this.#held, close)
    this.#say('reasoning', at >= 0 ? this.#held.slice(0, end).trimEnd() : this.#held.slice(0, end))
    this.#held = this.#held.slice(at >= 0 ? end + close.length : end)
    if (at >= 0) this.#enter('start')
  }

  #readContent(last: boolean): void {
    const mark = this.#callMark
    const at = mark === undefined ? -1 : this.#held.indexOf(mark)
    if (at < 0) {
      const end = last || mark === undefined ? this.#held.length : this.#held.length - heldLength(this.#held, mark)
      this.#say('content', this.#held.slice(0, end))
      this.#held = this.#held.slice(end)
      return
    }
    const before = this.#held.slice(0, at)
    const content = before.trimEnd()
    this.#say('content', content)
    this.#held = this.#held.slice(at)
    this.#openCalls(mark!, before.slice(content.length))
  }

  #openCalls(mark: string, spaces = ''): void {
    this.#held = this.#held.slice(mark.length)
    this.#opening = spaces + mark
    this.#enter('calls')
  }

  #readCalls(last: boolean): void {
    const close = this.#callEnd
    const at = close === undefined ? -1 : this.#held.indexOf(close)
    const end = at >= 0 ? at : last || close === undefined ? this.#held.length : this.#held.length - heldLength(this.#held, close)
    const { events, refused, unread = '' } = this.#calls.push(this.#held.slice(0, end))
    if (events.length > 0) this.#opening = ''
    this.#events.push(...events)
    this.#held = unread + this.#held.slice(end)
    const left = refused ?? (at >= 0 || last ? this.#calls.finish() : '')
    if (left !== '') {
      this.#say('content', this.#opening + left)
      this.#enter('content')
    } else if (at >= 0) {
      this.#held = this.#held.slice(close!.length)
      this.#enter('start')
    }
  }

  #enter(mode: Mode): void {
    this.#mode = mode
    this.#blank = true
  }

  #say(type: 'reasoning' | 'content', text: string): void {
    if (text === '') return
    this.#blank = false
    this.#said = true
    this.#events.push({ type, text })
  }
}

/** How much of the end of a text may be the beginning of a mark, with the white space before it. */
function heldLength(text: string, mark: string): number {
  let kept = Math.min(mark.length - 1, text.length)
  while (kept > 0 && !text.endsWith(mark.slice(0, kept))) kept--
  return text.length - text.slice(0, text.length - kept).trimEnd().length
}
