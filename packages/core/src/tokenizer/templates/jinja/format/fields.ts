/** `'{}'.format(...)`: Python's string.Formatter, with the sandbox's look-ups (jinja2/sandbox.py, SandboxedFormatter). */
import { PythonError, valueError } from '../errors.ts'
import { escapeMarkup } from '../markup.ts'
import { asciiOf, reprOf, stringOf } from '../printing.ts'
import type { Runtime } from '../runtime.ts'
import { Text, TextParts, text } from '../text.ts'
import type { Arguments, Value } from '../values.ts'
import { formatValue } from './spec.ts'

export interface LookUps {
  getAttribute(runtime: Runtime, object: Value, name: string): Value
  getItem(runtime: Runtime, object: Value, key: Value): Value
}

/** Formats may be nested this deep: a field in a field's specification. */
const maxNesting = 2

export function formatFields(runtime: Runtime, format: Text, args: Arguments, lookUps: LookUps): Text {
  return new Fields(runtime, args, lookUps, format.markup).format(format.as(false), maxNesting).as(format.markup)
}

class Fields {
  readonly #runtime: Runtime
  readonly #args: Arguments
  readonly #lookUps: LookUps
  readonly #isMarkup: boolean
  /** The next field without a name; undefined once fields are numbered by hand. */
  #next: number | undefined = 0

  constructor(runtime: Runtime, args: Arguments, lookUps: LookUps, isMarkup: boolean) {
    this.#runtime = runtime
    this.#args = args
    this.#lookUps = lookUps
    this.#isMarkup = isMarkup
  }

  format(format: Text, nesting: number): Text {
    if (nesting === 0) throw valueError('Max string recursion exceeded')
    const { value } = format
    const out = new TextParts()
    for (let at = 0; at < value.length; ) {
      const found = value.slice(at).search(/[{}]/)
      const brace = found < 0 ? value.length : at + found
      this.#runtime.budget.spend(1 + (brace - at) / 16)
      out.push(format.units(at, brace))
      if (brace >= value.length) break
      if (value[brace + 1] === value[brace]) {
        out.push(format.units(brace, brace + 1))
        at = brace + 2
        continue
      }
      if (value[brace] === '}') throw valueError("Single '}' encountered in format string")
      const end = fieldEnd(value, brace)
      out.push(this.#field(format.units(brace + 1, end), nesting))
      this.#runtime.budget.make(out.length > 1 << 20 ? out.length : 0)
      at = end + 1
    }
    return out.text()
  }

  #field(field: Text, nesting: number): Text {
    const [, name, conversion, colon] = /^((?:[^!:[]|\[[^\]]*\]?)*)(?:!([\s\S]*?))?(?=(:)|$)/u.exec(field.value) ?? []
    if (name === undefined) throw valueError("expected ':' after conversion specifier")
    const specStart = name.length + (conversion === undefined ? 0 : conversion.length + 1) + 1
    const value = this.#converted(this.#look(name), conversion)
    const spec = colon ? this.format(field.units(specStart, field.value.length), nesting - 1) : text('')
    if (!this.#isMarkup) return formatValue(this.#runtime, value, spec)
    const formatted = value instanceof Text && value.markup ? value : formatValue(this.#runtime, value, spec)
    if (value instanceof Text && value.markup && spec.value !== '')
      throw valueError('Unsupported format specification for Markup.')
    return escapeMarkup(this.#runtime, formatted).as(false)
  }

  #converted(value: Value, conversion: string | undefined): Value {
    if (conversion === undefined) return value
    const print = { s: stringOf, r: reprOf, a: asciiOf }[conversion]
    if (!print) throw valueError(`Unknown conversion specifier '${conversion.slice(0, 20)}'`)
    return print(this.#runtime, value)
  }

  #look(name: string): Value {
    const [first, ...steps] = name.match(/^[^.[]*|\.[^.[]*|\[[^\]]*\]?|[\s\S]/gu) ?? ['']
    let value = this.#first(first!)
    for (const step of steps) {
      const isItem = step.startsWith('[')
      const key = isItem ? step.slice(1, -1) : step.slice(1)
      if ((isItem && !step.endsWith(']')) || key === '') throw valueError('Empty attribute or missing "]" in format string')
      if (!isItem && !step.startsWith('.')) throw valueError("Only '.' or '[' may follow ']' in format field specifier")
      if (isItem) value = this.#lookUps.getItem(this.#runtime, value, /^\d+$/.test(key) ? BigInt(key) : text(key))
      else value = this.#lookUps.getAttribute(this.#runtime, value, key)
    }
    return value
  }

  #first(name: string): Value {
    const isNumber = name === '' || /^\d+$/.test(name)
    if (!isNumber) {
      const value = this.#args.named.get(name)
      if (value === undefined) throw new PythonError('KeyError', `'${name.slice(0, 100)}'`)
      return value
    }
    if (name === '' && this.#next === undefined)
      throw valueError('cannot switch from manual field specification to automatic field numbering')
    if (name !== '' && this.#next) throw valueError('cannot switch from automatic field numbering to manual field specification')
    const index = name === '' ? this.#next! : Number(name)
    this.#next = name === '' ? index + 1 : undefined
    const value = this.#args.positional[index]
    if (value === undefined)
      throw new PythonError('IndexError', `Replacement index ${index} out of range for positional args tuple`)
    return value
  }
}

/** Where the field that opens at `start` closes. Braces in it are matched; those in square brackets are not looked at. */
function fieldEnd(value: string, start: number): number {
  let depth = 0
  for (let i = start; i < value.length; i++) {
    if (value[i] === '[') {
      const close = value.indexOf(']', i)
      if (close < 0) break
      i = close
    } else if (value[i] === '{') depth++
    else if (value[i] === '}' && --depth === 0) return i
  }
  throw valueError("expected '}' before end of string")
}
