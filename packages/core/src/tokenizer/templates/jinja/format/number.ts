/** Numbers in a format: what `%5.2f` and `{:>8,}` share. */
import { typeError, valueError } from '../errors.ts'
import {
  bitLength,
  fixedDigits,
  floatRepr,
  integerText,
  placePoint,
  significantDigits,
  toFloat,
  withExponent,
} from '../numbers.ts'
import type { Runtime } from '../runtime.ts'

/** The digits of a number without its sign, and whether it is below zero. */
export interface Digits {
  readonly negative: boolean
  readonly prefix: string
  readonly digits: string
}

const radixes: Readonly<Record<string, number>> = { d: 10, b: 2, o: 8, x: 16, X: 16 }

/** `type`: d, b, o, x or X. `alternate` is `#`. */
export function integerDigits({ budget }: Runtime, value: bigint, type: string, alternate: boolean): Digits {
  const size = value < 0n ? -value : value
  budget.make(bitLength(size))
  const written = type === 'd' ? integerText(size) : size.toString(radixes[type])
  const prefix = alternate && type !== 'd' ? `0${type}` : ''
  return { negative: value < 0n, prefix, digits: type === 'X' ? written.toUpperCase() : written }
}

/**
 * @param type e, f, g or the same in upper case; '' is the shortest that reads back, or like g with a digit behind the point
 * @param precision digits, as C's printf takes them
 */
export function floatDigits(
  { budget }: Runtime,
  value: number,
  type: string,
  precision: number | undefined,
  alternate: boolean,
): Digits {
  const negative = value < 0 || Object.is(value, -0)
  const size = Math.abs(value)
  const upper = (digits: string): string => (type >= 'A' && type <= 'Z' ? digits.toUpperCase() : digits)
  if (!Number.isFinite(size)) return { negative: value < 0, prefix: '', digits: upper(Number.isNaN(size) ? 'nan' : 'inf') }
  if (type === '' && precision === undefined) return { negative, prefix: '', digits: floatRepr(size) }
  const count = precision ?? 6
  if (count > 1 << 20) throw valueError('precision too big')
  budget.make(count + 400)
  return { negative, prefix: '', digits: upper(written(size, type.toLowerCase(), count, alternate)) }
}

function written(size: number, type: string, precision: number, alternate: boolean): string {
  if (type === 'f') {
    const fixed = fixedDigits(size, precision)
    return alternate && precision === 0 ? `${fixed}.` : fixed
  }
  if (type === 'e') {
    const { digits, exponent } = significantDigits(size, precision + 1)
    const mantissa = withExponent(digits, exponent)
    return alternate && precision === 0 ? mantissa.replace('e', '.e') : mantissa
  }
  const count = Math.max(1, precision)
  const { digits, exponent } = significantDigits(size, count)
  // CPython's format_float_short: without a type the exponent comes one digit earlier.
  const scientific = exponent < -4 || exponent >= count - (type === '' ? 1 : 0)
  const kept = alternate ? digits : digits.replace(/0+$/, '') || '0'
  if (scientific) return withExponent(kept, exponent)
  const fixed = placePoint(kept, exponent)
  if (alternate && !fixed.includes('.')) return `${fixed}.`
  return type === '' && !fixed.includes('.') ? `${fixed}.0` : fixed
}

/** An int, or a float without anything behind its point, for the types that need an int. @throws TypeError */
export function asFloat(value: bigint | number): number {
  return typeof value === 'bigint' ? toFloat(value) : value
}

export function character(code: bigint): string {
  if (code < 0n || code > 0x10ffffn) throw typeError('%c arg not in range(0x110000)')
  return String.fromCodePoint(Number(code))
}
