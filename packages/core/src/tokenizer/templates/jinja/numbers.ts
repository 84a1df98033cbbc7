/** Python's int and float: how they are written, read and rounded. */
import { maxIntegerBits, templateLimit } from '../budget.ts'
import { PythonError, valueError } from './errors.ts'

/** The shortest digits that read back as the same float: an exponent below 1e-4 and from 1e16 on. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  const { sign, digits, exponent } = shortest(value)
  if (exponent < -4 || exponent >= 16) return sign + withExponent(digits, exponent)
  const fixed = placePoint(digits, exponent)
  return sign + (fixed.includes('.') ? fixed : `${fixed}.0`)
}

/** Shortest decimal digits `d.ddd` times ten to the exponent. */
function shortest(value: number): { sign: string; digits: string; exponent: number } {
  const [mantissa, exponent] = Math.abs(value).toExponential().split('e')
  return { sign: value < 0 || Object.is(value, -0) ? '-' : '', digits: mantissa!.replace('.', ''), exponent: Number(exponent) }
}

export function placePoint(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  const fraction = digits.slice(exponent + 1)
  return fraction === '' ? whole : `${whole}.${fraction}`
}

export function withExponent(digits: string, exponent: number, letter = 'e'): string {
  const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits
  return `${mantissa}${letter}${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
}

/** A float's exact value as digits: `digits` times ten to `-scale`. Up to 1074 decimals. */
function exactDecimal(value: number): { digits: bigint; scale: number } {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, Math.abs(value))
  const bits = view.getBigUint64(0)
  const biased = Number(bits >> 52n)
  const fraction = bits & ((1n << 52n) - 1n)
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n)
  const exponent = (biased === 0 ? 1 : biased) - 1075
  if (exponent >= 0) return { digits: mantissa << BigInt(exponent), scale: 0 }
  return { digits: mantissa * 5n ** BigInt(-exponent), scale: -exponent }
}

/** Divides with the half going to the even side. */
function divideHalfEven(value: bigint, by: bigint): bigint {
  const quotient = value / by
  const twice = (value % by) * 2n
  return twice > by || (twice === by && quotient % 2n === 1n) ? quotient + 1n : quotient
}

/** As C's `%.{decimals}f`, of a finite number without its sign. */
export function fixedDigits(value: number, decimals: number): string {
  const { digits, scale } = exactDecimal(value)
  const excess = scale - decimals
  const written = (
    excess > 0 ? divideHalfEven(digits, 10n ** BigInt(excess)).toString() : digits.toString() + '0'.repeat(-excess)
  ).padStart(decimals + 1, '0')
  return decimals === 0 ? written : `${written.slice(0, -decimals)}.${written.slice(-decimals)}`
}

/** `count` significant digits, rounded half to even, and the exponent of the first. */
export function significantDigits(value: number, count: number): { digits: string; exponent: number } {
  if (value === 0) return { digits: '0'.repeat(count), exponent: 0 }
  const { digits, scale } = exactDecimal(value)
  const length = digits.toString().length
  const excess = length - count
  const rounded = excess > 0 ? divideHalfEven(digits, 10n ** BigInt(excess)).toString() : digits.toString() + '0'.repeat(-excess)
  // Rounding up may have made one digit more.
  return { digits: rounded.slice(0, count), exponent: length - 1 - scale + (rounded.length - count) }
}

/** Python's `round(float, digits)`, correctly rounded. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || value === 0 || digits > 400) return value
  const sign = value < 0 ? -1 : 1
  if (digits >= 0) return sign * Number(fixedDigits(value, digits))
  if (digits < -310) return sign * 0
  const unit = 10n ** BigInt(-digits)
  const { digits: exact, scale } = exactDecimal(value)
  return sign * Number(divideHalfEven(exact, unit * 10n ** BigInt(scale)) * unit)
}

/** Python's `round(int, digits)`. */
export function roundInteger(value: bigint, digits: number): bigint {
  if (digits >= 0) return value
  if (digits < -maxIntegerBits) return 0n
  const unit = 10n ** BigInt(-digits)
  const size = divideHalfEven(value < 0n ? -value : value, unit) * unit
  return value < 0n ? -size : size
}

const otherDigits = /(?![0-9])\p{Nd}/gu
/** Digits of other scripts as ASCII digits. */
const asciiDigits = (text: string): string =>
  text.replace(otherDigits, (digit) => {
    const code = digit.codePointAt(0)!
    // Every script has its ten digits in a row.
    let zero = code
    while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--
    return String((code - zero) % 10)
  })

const prefixes: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 16: '0x' }

/** Python's `int(text, base)`. @throws ValueError */
export function parseInteger(source: string, base = 10): bigint {
  const failure = valueError(`invalid literal for int() with base ${base}: '${source.slice(0, 100)}'`)
  if (base !== 0 && (base < 2 || base > 36)) throw valueError('int() base must be >= 2 and <= 36, or 0')
  const [, sign, rest] = /^([+-]?)(.*)$/su.exec(asciiDigits(pythonStrip(source)).toLowerCase())!
  let radix = base
  let digits = rest!
  for (const [size, prefix] of Object.entries(prefixes)) {
    if ((base === 0 || base === Number(size)) && digits.startsWith(prefix)) {
      radix = Number(size)
      digits = digits.slice(2).replace(/^_/, '')
    }
  }
  if (radix === 0) {
    if (/^0[0_]*[1-9]/.test(digits)) throw failure
    radix = 10
  }
  if (!/^[0-9a-z]+(_[0-9a-z]+)*$/.test(digits)) throw failure
  digits = digits.replaceAll('_', '')
  if (digits.length > 4300) throw valueError('Exceeds the limit (4300 digits) for integer string conversion')
  let value = 0n
  if (radix === 10) {
    if (!/^[0-9]+$/.test(digits)) throw failure
    value = BigInt(digits)
  } else {
    for (const digit of digits) {
      const digitValue = Number.parseInt(digit, 36)
      if (digitValue >= radix) throw failure
      value = value * BigInt(radix) + BigInt(digitValue)
    }
  }
  return sign === '-' ? -value : value
}

/** Python's `float(text)`. @throws ValueError */
export function parseFloatText(source: string): number {
  const written = asciiDigits(pythonStrip(source)).toLowerCase()
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(written)
  if (special) return special[2] === 'nan' ? Number.NaN : special[1] === '-' ? -Infinity : Infinity
  if (!/^[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/.test(written)) {
    throw valueError(`could not convert string to float: '${source.slice(0, 100)}'`)
  }
  return Number(written.replaceAll('_', ''))
}

/** What `str.isspace` says is white space. JavaScript's `\s` has U+FEFF and lacks U+001C to U+001F and U+0085. */
export const whitespace = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const spaceCharacter = new RegExp(`[${whitespace}]`)
export const isSpace = (character: string): boolean => spaceCharacter.test(character)

function pythonStrip(source: string): string {
  let [start, end] = [0, source.length]
  while (start < end && isSpace(source[start]!)) start++
  while (end > start && isSpace(source[end - 1]!)) end--
  return source.slice(start, end)
}

/** A float of an int. @throws OverflowError */
export function toFloat(value: bigint): number {
  const float = Number(value)
  if (Number.isFinite(float)) return float
  throw new PythonError('OverflowError', 'int too large to convert to float')
}

/** An int of a float. @throws OverflowError, ValueError */
export function truncateFloat(value: number): bigint {
  if (Number.isNaN(value)) throw valueError('cannot convert float NaN to integer')
  if (!Number.isFinite(value)) throw new PythonError('OverflowError', 'cannot convert float infinity to integer')
  return BigInt(Math.trunc(value))
}

export function integerText(value: bigint): string {
  const written = value.toString()
  if (written.length > 4301) throw valueError('Exceeds the limit (4300 digits) for integer string conversion')
  return written
}

/** Refuses ints that only an attack makes. `bits` is a bound of what comes out. */
export function checkBits(bits: number): void {
  if (bits > maxIntegerBits) throw templateLimit(`it makes a whole number of ${bits} bits; the limit is ${maxIntegerBits}`)
}

export const bitLength = (value: bigint): number => (value < 0n ? -value : value).toString(16).length * 4
