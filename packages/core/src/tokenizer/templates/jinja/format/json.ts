/** Python's `json.dumps`, with the options that transformers' `tojson` has. */

import { ordered } from '../comparing.ts'
import { typeError } from '../errors.ts'
import { floatRepr, integerText } from '../numbers.ts'
import type { Runtime } from '../runtime.ts'
import { Text, TextParts, text } from '../text.ts'
import { Dict, sequenceItems, Tuple, typeName, type Value } from '../values.ts'

export interface JsonOptions {
  readonly ensureAscii: boolean
  /** Undefined: all in one line. */
  readonly indent: Text | undefined
  readonly itemSeparator: Text
  readonly keySeparator: Text
  readonly sortKeys: boolean
}

export function toJson(runtime: Runtime, value: Value, options: JsonOptions): Text {
  const writer = new JsonWriter(runtime, options)
  writer.write(value, 0)
  return writer.out.text()
}

class JsonWriter {
  readonly out = new TextParts()
  readonly #runtime: Runtime
  readonly #options: JsonOptions

  constructor(runtime: Runtime, options: JsonOptions) {
    this.#runtime = runtime
    this.#options = options
  }

  write(value: Value, level: number): void {
    this.#runtime.budget.enter()
    const items = sequenceItems(value)
    if (items) this.#list(items, level + 1)
    else if (value instanceof Dict) this.#dict(value, level + 1)
    else this.#push(this.#scalar(value))
    this.#runtime.budget.leave()
  }

  #push(part: Text | string): void {
    const length = typeof part === 'string' ? part.length : part.value.length
    this.#runtime.budget.spend(1)
    this.#runtime.budget.make(this.out.length + length > 1 << 20 ? this.out.length + length : length)
    this.out.push(part)
  }

  #list(items: readonly Value[], level: number): void {
    this.#push('[')
    for (const [i, item] of items.entries()) {
      this.#separate(i, level)
      this.write(item, level)
    }
    if (items.length > 0) this.#newLine(level - 1)
    this.#push(']')
  }

  #dict(dict: Dict, level: number): void {
    const { sortKeys, keySeparator } = this.#options
    const entries = [...dict.entries()]
    if (sortKeys) {
      const less = (a: readonly [Value, Value], b: readonly [Value, Value]): boolean =>
        ordered(this.#runtime, '<', new Tuple(a), new Tuple(b))
      entries.sort((a, b) => (less(a, b) ? -1 : less(b, a) ? 1 : 0))
    }
    this.#push('{')
    for (const [i, [key, value]] of entries.entries()) {
      this.#separate(i, level)
      this.#push(this.#key(key))
      this.#push(keySeparator)
      this.write(value, level)
    }
    if (entries.length > 0) this.#newLine(level - 1)
    this.#push('}')
  }

  #separate(index: number, level: number): void {
    if (index > 0) this.#push(this.#options.itemSeparator)
    this.#newLine(level)
  }

  #newLine(level: number): void {
    const { indent } = this.#options
    if (!indent) return
    this.#push('\n')
    for (let i = 0; i < level && indent.value !== ''; i++) this.#push(indent)
  }

  #key(key: Value): Text {
    if (key instanceof Text) return this.#quote(key)
    if (key === null || typeof key === 'boolean' || typeof key === 'bigint' || typeof key === 'number') {
      return this.#quote(text(scalar(key)))
    }
    throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
  }

  #scalar(value: Value): Text | string {
    if (value instanceof Text) return this.#quote(value)
    if (value === null || typeof value === 'boolean' || typeof value === 'bigint' || typeof value === 'number')
      return scalar(value)
    throw typeError(`Object of type ${typeName(value)} is not JSON serializable`)
  }

  #quote(value: Text): Text {
    this.#runtime.budget.make(value.value.length)
    const special = this.#options.ensureAscii ? /[^ !#-[\]-~]/g : /["\\]|(?![\x7f-\x9f])\p{Cc}/gu
    const parts = new TextParts()
    parts.push('"')
    parts.push(value.map((run) => run.replace(special, escapeUnit)).as(false))
    parts.push('"')
    return parts.text()
  }
}

const named: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
}

const escapeUnit = (unit: string): string => named[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

function scalar(value: null | boolean | bigint | number): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'bigint') return integerText(value)
  if (Number.isNaN(value)) return 'NaN'
  return Number.isFinite(value) ? floatRepr(value) : value > 0 ? 'Infinity' : '-Infinity'
}
