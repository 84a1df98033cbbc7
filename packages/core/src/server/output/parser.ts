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

export class OutputParser {
  readonly #reasoning: ParserOptions['reasoning']
  readonly #tools: ParserOptions['tools']
  #mode: 'reasoning' | 'content' | 'calls'
  #held = ''
  /** Nothing but white space so far, which is not content yet. */
  #blank: boolean
  #calls = new CallReader()
  #events: OutputEvent[] = []

  constructor({ reasoning, tools, reasons }: ParserOptions) {
    this.#reasoning = reasoning
    this.#tools = tools
    this.#mode = reasons && reasoning ? 'reasoning' : 'content'
    this.#blank = reasoning !== undefined || tools !== undefined
  }

  get calls(): number {
    return this.#calls.count
  }

  push(text: string): OutputEvent[] {
    this.#events = []
    this.#held += text
    this.#run(false)
    return this.#events
  }

  end(): OutputEvent[] {
    this.#events = []
    this.#run(true)
    const rest = this.#calls.end()
    if (rest !== '') this.#say('content', rest)
    return this.#events
  }

  #run(last: boolean): void {
    for (let before = -1; before !== this.#held.length || before === -1; ) {
      before = this.#held.length
      const mode = this.#mode
      if (mode === 'calls') this.#readCalls(last)
      else if (mode === 'reasoning') this.#until([this.#reasoning!.close], last)
      else this.#content(last)
      if (this.#mode === mode && before === this.#held.length) return
    }
  }

  #content(last: boolean): void {
    if (this.#blank && !this.#startsCall(last)) return
    if (this.#mode === 'calls') return
    this.#until(this.#openings(), last)
  }

  /** False: too little is known yet. */
  #startsCall(last: boolean): boolean {
    const text = this.#held.trimStart()
    if (text === '') {
      // White space before reasoning or a call is no content.
      if (last) this.#until([], true)
      return false
    }
    if (this.#tools === 'llama' && text.startsWith('{')) {
      this.#held = text
      this.#mode = 'calls'
    }
    return true
  }

  #openings(): string[] {
    const { open } = this.#reasoning ?? {}
    const call = this.#tools && { hermes: '<tool_call>', mistral: '[TOOL_CALLS]', llama: '<|python_tag|>' }[this.#tools]
    return [...(open !== undefined && this.#blank && this.calls === 0 ? [open] : []), ...(call === undefined ? [] : [call])]
  }

  /** Says what comes before the first of the marks; holds what may begin one. */
  #until(marks: readonly string[], last: boolean): void {
    const kind = this.#mode === 'reasoning' ? 'reasoning' : 'content'
    const found = marks.map((mark) => ({ mark, at: this.#held.indexOf(mark) })).filter(({ at }) => at >= 0)
    const [first] = found.sort((a, b) => a.at - b.at)
    if (first) {
      const before = this.#held.slice(0, first.at)
      this.#held = this.#held.slice(first.at + first.mark.length)
      this.#say(kind, kind === 'content' ? before.trimEnd() : before.replace(/\s+$/, ''))
      this.#mode = kind === 'reasoning' ? 'content' : first.mark === this.#reasoning?.open ? 'reasoning' : 'calls'
      this.#blank = true
      return
    }
    const kept = last ? 0 : heldLength(this.#held, marks, marks.length > 0)
    this.#say(kind, this.#held.slice(0, this.#held.length - kept))
    this.#held = this.#held.slice(this.#held.length - kept)
  }

  #readCalls(last: boolean): void {
    const close = this.#tools === 'hermes' ? '</tool_call>' : undefined
    const end = close === undefined ? -1 : this.#held.indexOf(close)
    const kept = end >= 0 || last || close === undefined ? 0 : heldLength(this.#held, [close], false)
    const text = end >= 0 ? this.#held.slice(0, end) : this.#held.slice(0, this.#held.length - kept)
    const { events, rest } = this.#calls.push(text)
    this.#events.push(...events)
    this.#held = end >= 0 ? this.#held.slice(end + close!.length) : this.#held.slice(text.length)
    if (rest !== undefined) {
      this.#say('content', rest)
      this.#blank = false
    }
    if (end >= 0 || rest !== undefined) this.#mode = 'content'
    if (end >= 0) this.#blank = true
  }

  #say(type: 'reasoning' | 'content', text: string): void {
    // The line breaks that templates put around reasoning and calls belong to neither.
    const said = this.#blank ? text.trimStart() : text
    if (said === '') return
    this.#blank = false
    this.#events.push({ type, text: said })
  }
}

/** How much of the end of a text may be the beginning of a mark; with `spaces`, white space as well, which a mark may follow. */
function heldLength(text: string, marks: readonly string[], spaces: boolean): number {
  let kept = 0
  for (const mark of marks)
    for (let n = Math.min(mark.length - 1, text.length); n > kept; n--) if (text.endsWith(mark.slice(0, n))) kept = n
  const before = text.slice(0, text.length - kept)
  return spaces ? kept + before.length - before.trimEnd().length : kept
}
