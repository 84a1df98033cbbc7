/** Reads tool calls out of a text that grows: the name as soon as it is known, arguments as they come. */

export type CallEvent =
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  | { readonly type: 'arguments'; readonly index: number; readonly text: string }

const nameFirst =
  /^\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*$/
const firstKey = /^\{\s*"([^"]*)"/
const keys = ['name', 'type', 'id', 'function', 'arguments', 'parameters']
/** What may stand between calls. */
const between = /[\s[\],;]/

/** Follows one JSON value to its end. */
class Value {
  #depth = 0
  #inString = false
  #escaped = false

  /** Takes a character; returns whether the value is complete with it. */
  push(char: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (char === '\\') this.#escaped = true
      else if (char === '"') this.#inString = false
    } else if (char === '"') this.#inString = true
    else if (char === '{' || char === '[') this.#depth++
    else if (char === '}' || char === ']') this.#depth--
    return this.#depth === 0 && !this.#inString && /["}\]]/.test(char)
  }
}

export class CallReader {
  /** Calls that have begun. */
  count = 0
  #state: 'between' | 'name' | 'object' | 'arguments' | 'tail' = 'between'
  #raw = ''
  #value = new Value()
  #quoted: string | undefined
  #events: CallEvent[] = []
  readonly #bareNames: boolean

  /** @param options.bareNames a name may stand before its arguments without being JSON */
  constructor({ bareNames }: { bareNames: boolean }) {
    this.#bareNames = bareNames
  }

  /** `refused` turned out to be no call, `unread` comes behind it. */
  push(text: string): { events: CallEvent[]; refused?: string; unread?: string } {
    this.#events = []
    let pending = ''
    const flush = () => {
      if (pending !== '') this.#events.push({ type: 'arguments', index: this.count - 1, text: pending })
      pending = ''
    }
    for (let i = 0; i < text.length; i++) {
      const char = text[i]!
      if (this.#state !== 'arguments') {
        if (this.#take(char)) continue
        const refused = this.#raw
        this.#reset()
        return { events: this.#events, refused, unread: text.slice(i + 1) }
      }
      if (this.#raw === '' && /\s/.test(char)) continue
      if (this.#raw === '' && char === '"') this.#quoted = ''
      this.#raw = char
      if (this.#quoted !== undefined) this.#quoted += char
      else pending += char
      if (!this.#value.push(char)) continue
      if (this.#quoted !== undefined) pending = parsed(this.#quoted) as string
      flush()
      this.#quoted = undefined
      this.#raw = ''
      this.#state = this.#bare ? 'between' : 'tail'
    }
    flush()
    return { events: this.#events }
  }

  /** Gives up what is unfinished. @returns the text of it that was not told */
  finish(): string {
    const raw = this.#state === 'object' || this.#state === 'name' ? this.#raw : ''
    this.#reset()
    return raw
  }

  #reset(): void {
    this.#state = 'between'
    this.#raw = ''
    this.#quoted = undefined
  }

  /** Arguments stand behind a name that is not JSON. */
  #bare = false

  /** False: what was read is no call. */
  #take(char: string): boolean {
    switch (this.#state) {
      case 'between':
        if (between.test(char)) return true
        this.#raw = char
        this.#state = char === '{' ? 'object' : 'name'
        this.#value = new Value()
        this.#value.push(char)
        return char === '{' || this.#bareNames
      case 'name': {
        if (char !== '{') this.#raw += char
        else {
          const name = this.#raw.replace(/^\[?TOOL_CALLS\]/, '').replace(/\[(?:CALL_ID|ARGS)\].*$/s, '')
          this.#begin(name.trim(), true)
          this.#raw = char
          this.#value.push(char)
          this.#events.push({ type: 'arguments', index: this.count - 1, text: char })
        }
        return this.#raw.length < 400
      }
      case 'object': {
        const complete = this.#value.push(char)
        this.#raw += char
        const [, name] = char === ':' ? (nameFirst.exec(this.#raw) ?? []) : []
        if (name !== undefined) this.#begin(parsed(name) as string, false)
        else if (complete && char === '}') return this.#whole()
        else if (char === '"') {
          const [, key] = firstKey.exec(this.#raw) ?? []
          return key === undefined || keys.includes(key)
        }
        return true
      }
      default: // the end of the object behind its arguments
        if (char === '}') this.#state = 'between'
        this.#raw = ''
        return true
    }
  }

  #begin(name: string, bare: boolean): void {
    this.#events.push({ type: 'call', index: this.count++, name })
    this.#state = 'arguments'
    this.#bare = bare
    this.#value = new Value()
    this.#raw = ''
  }

  /** An object whose keys came in another order. */
  #whole(): boolean {
    const object = parsed(this.#raw) as
      | { name?: unknown; arguments?: unknown; parameters?: unknown; function?: unknown }
      | undefined
    const named = typeof object?.function === 'object' && object.function !== null ? (object.function as typeof object) : object
    if (typeof named?.name !== 'string') return false
    const given = named.arguments ?? named.parameters ?? {}
    this.#begin(named.name, false)
    this.#events.push({
      type: 'arguments',
      index: this.count - 1,
      text: typeof given === 'string' ? given : JSON.stringify(given),
    })
    this.#state = 'between'
    return true
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
