/** Binds arguments to the parameters of functions that jinja2 and Python have built in. */
import { typeError } from './errors.ts'
import { emptyText, Text, text } from './text.ts'
import { type Arguments, integerOf, typeName, type Value } from './values.ts'

/** Binds arguments; what is not given and has no default is a TypeError. */
export type Bind = (args: Arguments) => Value[]

/**
 * @param written parameters as Python writes them: `"old, new, count=-1, /"`. Those before `/` have no names for callers.
 *   Defaults are none, true, false, whole numbers, 0.0 and texts.
 */
export function signature(name: string, written: string): Bind {
  const parts = written === '' ? [] : written.split(/, (?=[a-z_/])/)
  const slash = parts.indexOf('/')
  const parameters = parts.filter((part) => part !== '/').map((part) => part.split(/=(.*)/s))
  const names = parameters.map(([parameter]) => parameter!)
  const defaults = parameters.map(([, value]) => (value === undefined ? undefined : defaultValue(value)))
  const firstNamed = Math.max(slash, 0)

  return ({ positional, named }) => {
    if (positional.length > names.length) {
      throw typeError(`${name}() takes at most ${names.length} arguments (${positional.length} given)`)
    }
    const values: (Value | undefined)[] = [...positional]
    for (const [key, value] of named) {
      const index = names.indexOf(key, firstNamed)
      if (index < 0) throw typeError(`${name}() got an unexpected keyword argument '${key}'`)
      if (values[index] !== undefined) throw typeError(`${name}() got multiple values for argument '${key}'`)
      values[index] = value
    }
    return names.map((parameter, i) => {
      const value = values[i] ?? defaults[i]
      if (value === undefined && values[i] !== null && defaults[i] !== null) {
        throw typeError(`${name}() missing required argument '${parameter}'`)
      }
      return values[i] === null ? null : (value ?? null)
    })
  }
}

const constants: Readonly<Record<string, Value>> = { none: null, true: true, false: false, '0.0': 0 }

function defaultValue(written: string): Value {
  if (Object.hasOwn(constants, written)) return constants[written]!
  return written.startsWith("'") ? (written === "''" ? emptyText : text(written.slice(1, -1))) : BigInt(written)
}

/** An argument that Python takes as an index or count. @throws TypeError */
export function integerArgument(value: Value): number {
  const integer = integerOf(value)
  if (integer === undefined) throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`)
  // Far beyond any length, and exact.
  const bound = 1n << 53n
  return Number(integer > bound ? bound : integer < -bound ? -bound : integer)
}

/** @throws TypeError */
export function textArgument(value: Value, what: string): Text {
  if (value instanceof Text) return value
  throw typeError(`${what} must be str, not ${typeName(value)}`)
}
