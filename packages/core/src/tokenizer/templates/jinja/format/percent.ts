/** `format % values`, Python's printf. */
import { typeError, valueError } from '../errors.ts'
import { escapeMarkup } from '../markup.ts'
import { pad } from '../methods/cutting.ts'
import { truncateFloat } from '../numbers.ts'
import { asciiOf, reprOf, stringOf } from '../printing.ts'
import type { Runtime } from '../runtime.ts'
import { byPerson, Text, TextParts, text, written } from '../text.ts'
import { Dict, integerOf, isList, Range, Tuple, typeName, Undefined, type Value } from '../values.ts'
import { asFloat, character, type Digits, floatDigits, integerDigits } from './number.ts'

const directive = /%(?:\(((?:[^()]|\([^()]*\))*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?(.)?/gsu
const hasPrecision = /\.(\*|\d+)?[hlL]?.?$/su

interface Directive {
  readonly flags: string
  readonly width: number
  readonly precision: number | undefined
  readonly type: string
}

export function formatPercent(runtime: Runtime, format: Text, values: Value): Text {
  const positional = values instanceof Tuple ? values.items : [values]
  let next = 0
  const take = (): Value => {
    if (next >= positional.length) throw typeError('not enough arguments for format string')
    return positional[next++]!
  }
  const number = (given: string | undefined): number | undefined => {
    if (given === undefined) return undefined
    if (given !== '*') return Number(given)
    const value = integerOf(take())
    if (value === undefined) throw typeError('* wants int')
    return Number(value)
  }
  const out = new TextParts()
  let done = 0
  let isMapping = false
  for (const match of format.value.matchAll(directive)) {
    out.push(format.units(done, match.index))
    done = match.index + match[0].length
    const [all, key, flags, givenWidth, givenPrecision, type] = match
    if (type === undefined) throw valueError('incomplete format')
    if (key !== undefined && !(values instanceof Dict)) throw typeError('format requires a mapping')
    if (key !== undefined) isMapping = true
    const givenValue = key === undefined ? undefined : keyed(values as Dict, key)
    const signedWidth = number(givenWidth) ?? 0
    const precision = hasPrecision.test(all) ? Math.max(0, number(givenPrecision) ?? 0) : undefined
    if (type === '%') {
      out.push('%')
      continue
    }
    const settings = { flags: signedWidth < 0 ? `${flags}-` : flags!, width: Math.abs(signedWidth), precision, type }
    const one = formatOne(runtime, settings, givenValue === undefined ? take() : givenValue, format.markup)
    runtime.budget.make(out.length + one.value.length > 1 << 20 ? out.length + one.value.length : one.value.length)
    out.push(one)
  }
  out.push(format.units(done, format.value.length))
  const mayBeLeft =
    isMapping || values instanceof Dict || isList(values) || values instanceof Range || values instanceof Undefined
  if (next < positional.length && !mayBeLeft) throw typeError('not all arguments converted during string formatting')
  return out.text(format.markup)
}

function keyed(values: Dict, key: string): Value {
  const value = values.named(key)
  if (value === undefined) throw typeError(`format: there is no key '${key.slice(0, 100)}'`)
  return value
}

function formatOne(runtime: Runtime, settings: Directive, value: Value, isMarkup: boolean): Text {
  const { flags, width, precision, type } = settings
  const side = flags.includes('-') ? 'left' : 'right'
  const padded = (part: Text): Text => pad(runtime, part, width, side, text(' '))
  if (type === 's' || type === 'r' || type === 'a') {
    const print = type === 's' ? stringOf : type === 'r' ? reprOf : asciiOf
    const plain = print(runtime, value)
    const printed = isMarkup ? escapeMarkup(runtime, type === 's' && value instanceof Text ? value : plain).as(false) : plain
    return padded(precision === undefined ? printed : printed.slice(0, precision))
  }
  if (type === 'c') {
    if (value instanceof Text && value.length === 1) return padded(value.as(false))
    const code = integerOf(value)
    if (code === undefined) throw typeError('%c requires int or char')
    // A number can stand for any character, so what it makes is never the template's own.
    return padded(written(character(code), byPerson))
  }
  const { negative, prefix, digits } = numberDigits(runtime, settings, value)
  const sign = negative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
  const isZeroed = flags.includes('0') && side !== 'left'
  const zeros = isZeroed ? Math.max(0, width - sign.length - prefix.length - digits.length) : 0
  runtime.budget.make(zeros)
  return padded(text(sign + prefix + '0'.repeat(zeros) + digits))
}

function numberDigits(runtime: Runtime, { flags, precision, type }: Directive, value: Value): Digits {
  const alternate = flags.includes('#')
  if (value instanceof Undefined) value.fail()
  const integer = integerOf(value)
  if (/[eEfFgG]/.test(type)) {
    if (integer === undefined && typeof value !== 'number') throw typeError(`must be real number, not ${typeName(value)}`)
    return floatDigits(runtime, asFloat(integer ?? (value as number)), type, precision ?? 6, alternate)
  }
  if (!/[diuoxX]/.test(type)) throw valueError(`unsupported format character '${type}'`)
  const isDecimal = /[diu]/.test(type)
  if (integer === undefined && !(isDecimal && typeof value === 'number')) {
    throw typeError(`%${type} format: ${isDecimal ? 'a real number' : 'an integer'} is required, not ${typeName(value)}`)
  }
  const whole = integer ?? truncateFloat(value as number)
  const found = integerDigits(runtime, whole, isDecimal ? 'd' : type, alternate)
  if (precision !== undefined) runtime.budget.make(precision)
  return { ...found, digits: found.digits.padStart(precision ?? 0, '0') }
}
