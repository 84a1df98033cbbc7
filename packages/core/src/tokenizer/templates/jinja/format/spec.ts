/** `format(value, spec)`: Python's format specification mini-language. */
import { templateLimit } from '../../budget.ts'
import { notSupported, typeError, valueError } from '../errors.ts'
import { pad } from '../methods/cutting.ts'
import { stringOf } from '../printing.ts'
import type { Runtime } from '../runtime.ts'
import { byPerson, Text, text, written } from '../text.ts'
import { integerOf, isNumber, typeName, Undefined, type Value } from '../values.ts'
import { asFloat, character, type Digits, floatDigits, integerDigits } from './number.ts'

const specification = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([\s\S])?$/u

interface Spec {
  readonly fill: string
  readonly align: string | undefined
  readonly sign: string | undefined
  readonly alternate: boolean
  readonly width: number
  readonly grouping: string | undefined
  readonly precision: number | undefined
  readonly type: string
}

function parseSpec(spec: string, value: Value): Spec {
  const match = specification.exec(spec)
  if (!match) throw valueError(`Invalid format specifier '${spec.slice(0, 100)}' for object of type '${typeName(value)}'`)
  const [, fill, align, sign, noNegativeZero, alternate, zero, width, grouping, precision, type] = match
  if (noNegativeZero) throw notSupported('z in a format specification')
  return {
    fill: fill ?? (zero ? '0' : ' '),
    align: align ?? (zero && isNumber(value) ? '=' : undefined),
    sign,
    alternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? undefined : Number(precision),
    type: type ?? '',
  }
}

export function formatValue(runtime: Runtime, value: Value, spec: Text): Text {
  if (spec.value === '') return stringOf(runtime, value)
  if (value instanceof Text) return formatText(runtime, value.as(false), parseSpec(spec.value, value))
  if (isNumber(value)) return formatNumber(runtime, value, parseSpec(spec.value, value))
  if (value instanceof Undefined) throw typeError('unsupported format string passed to Undefined.__format__')
  throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`)
}

const sides: Readonly<Record<string, 'left' | 'right' | 'both'>> = { '<': 'left', '>': 'right' }

function formatText(runtime: Runtime, value: Text, spec: Spec): Text {
  const { fill, align = '<', precision, width, type } = spec
  if (type !== '' && type !== 's') throw valueError(`Unknown format code '${type}' for object of type 'str'`)
  if (spec.sign || align === '=' || spec.alternate || spec.grouping) throw valueError('the format specifier is not for strings')
  const cut = precision === undefined ? value : value.slice(0, precision)
  return align === '^' ? padCentre(runtime, cut, width, fill) : pad(runtime, cut, width, sides[align]!, text(fill))
}

/** Here the odd one goes to the right, unlike `str.center`. */
function padCentre(runtime: Runtime, value: Text, width: number, fill: string): Text {
  const missing = width - value.length
  if (missing <= 0) return value
  const left = pad(runtime, value, value.length + Math.floor(missing / 2), 'right', text(fill))
  return pad(runtime, left, width, 'left', text(fill))
}

function formatNumber(runtime: Runtime, value: bigint | number | boolean, spec: Spec): Text {
  const integer = integerOf(value)
  const isFloat = integer === undefined || /^[eEfFgG%]$/.test(spec.type)
  if (!isFloat && spec.type === 'c') {
    const padded = pad(
      runtime,
      written(character(integer), byPerson),
      spec.width,
      sides[spec.align ?? '<'] ?? 'left',
      text(spec.fill),
    )
    if (spec.sign || spec.precision !== undefined || spec.align === '^') throw valueError("the format specifier is not for 'c'")
    return padded
  }
  const { negative, prefix, digits, suffix } = isFloat
    ? { suffix: spec.type === '%' ? '%' : '', ...floats(runtime, asFloat(integer ?? (value as number)), spec) }
    : { suffix: '', ...integers(runtime, integer, spec) }
  const sign = negative ? '-' : spec.sign === '+' || spec.sign === ' ' ? spec.sign : ''
  const head = sign + prefix
  const align = spec.align ?? '>'
  const room = align === '=' && spec.fill === '0' ? spec.width - head.length - suffix.length : 0
  runtime.budget.make(Math.max(0, 2 * room))
  const grouped = group(digits, spec, room)
  if (align === '=') {
    const inner = pad(runtime, text(grouped + suffix), spec.width - head.length, 'right', text(spec.fill))
    return text(head + inner.value)
  }
  const whole = text(head + grouped + suffix)
  return align === '^'
    ? padCentre(runtime, whole, spec.width, spec.fill)
    : pad(runtime, whole, spec.width, sides[align]!, text(spec.fill))
}

function integers(runtime: Runtime, value: bigint, { type, precision, alternate, grouping }: Spec): Digits {
  if (precision !== undefined) throw valueError('Precision not allowed in integer format specifier')
  if (type !== '' && !/^[bdoxXn]$/.test(type)) throw valueError(`Unknown format code '${type}' for object of type 'int'`)
  if (grouping === ',' && /^[boxX]$/.test(type)) throw valueError(`Cannot specify ',' with '${type}'.`)
  if (grouping && type === 'n') throw valueError(`Cannot specify '${grouping}' with 'n'.`)
  return integerDigits(runtime, value, type === '' || type === 'n' ? 'd' : type, alternate)
}

function floats(runtime: Runtime, value: number, { type, precision, alternate, grouping }: Spec): Digits {
  if (type !== '' && !/^[eEfFgGn%]$/.test(type)) throw valueError(`Unknown format code '${type}' for object of type 'float'`)
  if (grouping && type === 'n') throw valueError(`Cannot specify '${grouping}' with 'n'.`)
  if (type === '%') return floatDigits(runtime, value * 100, 'f', precision, alternate)
  return floatDigits(runtime, value, type === 'n' ? 'g' : type, precision, alternate)
}

/** Parting takes time quadratic in the width. */
const maxGroupedWidth = 10_000

/** Thousands apart (fours for b, o and x), filled up with zeros to `room`. */
function group(digits: string, { grouping, type }: Spec, room: number): string {
  const isRadix = /^[boxX]$/.test(type)
  const [whole] = isRadix ? [digits] : /^[0-9]*/.exec(digits)!
  const rest = digits.slice(whole!.length)
  // inf and nan have no digits to part.
  if (!grouping || whole === '') return digits.padStart(room, '0')
  if (room > maxGroupedWidth) throw templateLimit(`it parts thousands ${room} characters wide; the limit is ${maxGroupedWidth}`)
  const everyFew = new RegExp(`\\B(?=(?:.{${isRadix ? 4 : 3}})+$)`, 'g')
  let padded = whole!
  const parted = (): string => padded.replace(everyFew, grouping)
  while (parted().length + rest.length < room)
    padded = padded.padStart(padded.length + 1 + Math.floor((room - padded.length - rest.length) / 2), '0')
  while (padded.length > whole!.length && padded.replace(/^0/, '').replace(everyFew, grouping).length + rest.length >= room)
    padded = padded.slice(1)
  return parted() + rest
}
