/** Python's `str` and `repr` of values. */
import { notSupported } from './errors.ts'
import { floatRepr, integerText } from './numbers.ts'
import type { Runtime } from './runtime.ts'
import { emptyText, Text, TextParts } from './text.ts'
import { Callable, Dict, Iter, isList, Range, Thing, Tuple, typeName, Undefined, type Value, View } from './values.ts'

/** Python's `str(value)`. Never markup. */
export function stringOf(runtime: Runtime, value: Value): Text {
  if (value instanceof Text) return value.as(false)
  if (value instanceof Undefined) return runtime.strict ? value.fail() : emptyText
  return reprOf(runtime, value)
}

/** markupsafe's `soft_str`: leaves markup as it is. */
export const softString = (runtime: Runtime, value: Value): Text => (value instanceof Text ? value : stringOf(runtime, value))

export function reprOf(runtime: Runtime, value: Value): Text {
  const parts = new TextParts()
  write(runtime, value, parts)
  return parts.text()
}

function write(runtime: Runtime, value: Value, out: TextParts): void {
  const before = out.length
  runtime.budget.spend(1)
  runtime.budget.enter()
  if (isList(value)) writeItems(runtime, value, '[', ']', out)
  else if (value instanceof Tuple) writeItems(runtime, value.items, '(', value.items.length === 1 ? ',)' : ')', out)
  else if (value instanceof Dict) writeDict(runtime, value, out)
  else if (value instanceof View) {
    out.push(`dict_${value.kind}(`)
    writeItems(runtime, [...value.items()], '[', ']', out)
    out.push(')')
  } else out.push(scalarRepr(runtime, value))
  runtime.budget.leave()
  // What is nested has been paid for where it was written; so twice at most.
  runtime.budget.make(out.length - before)
}

function writeItems(runtime: Runtime, items: readonly Value[], open: string, close: string, out: TextParts): void {
  out.push(open)
  for (const [i, item] of items.entries()) {
    if (i > 0) out.push(', ')
    write(runtime, item, out)
  }
  out.push(close)
}

function writeDict(runtime: Runtime, dict: Dict, out: TextParts): void {
  let separator = '{'
  for (const [key, value] of dict.entries()) {
    out.push(separator)
    write(runtime, key, out)
    out.push(': ')
    write(runtime, value, out)
    separator = ', '
  }
  out.push(dict.size === 0 ? '{}' : '}')
}

function scalarRepr(runtime: Runtime, value: Value): Text | string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'bigint') return integerText(value)
  if (typeof value === 'number') return floatRepr(value)
  if (value instanceof Text) return textRepr(runtime, value)
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Range) {
    const { start, stop, step } = value
    return step === 1n ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`
  }
  const repr = value instanceof Callable ? value.repr : value instanceof Thing ? value.repr(runtime) : undefined
  if (repr !== undefined) return repr
  throw notSupported(
    `printing ${value instanceof Iter ? 'a generator' : `a ${typeName(value as Value)}`}, which shows an address,`,
  )
}

/** All that Python does not print as it is: other, unassigned and private characters, and white space but the space. */
const unprintable = /[\p{C}\p{Z}]/u

export function textRepr({ budget }: Runtime, value: Text): Text {
  budget.make(value.value.length)
  const quote = value.value.includes("'") && !value.value.includes('"') ? '"' : "'"
  const escaped = value.map((run) => run.replace(/[\\'"]|[^ -~]/gu, (character) => escapeCharacter(character, quote)))
  const parts = new TextParts()
  if (value.markup) parts.push('Markup(')
  parts.push(quote)
  parts.push(escaped.as(false))
  parts.push(quote)
  if (value.markup) parts.push(')')
  return parts.text()
}

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' }

function escapeCharacter(character: string, quote: string): string {
  if (named[character]) return named[character]
  if (character === quote) return `\\${quote}`
  if (!unprintable.test(character)) return character
  const code = character.codePointAt(0)!.toString(16)
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`
}

/** Python's `ascii(value)`. */
export function asciiOf(runtime: Runtime, value: Value): Text {
  return reprOf(runtime, value).map((run) =>
    run.replace(/[^\0-\x7f]/gu, (character) => {
      const code = character.codePointAt(0)!.toString(16)
      if (code.length <= 2) return `\\x${code}`
      return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`
    }),
  )
}
