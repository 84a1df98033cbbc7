/** Python's operators on values. */
import { notSupported, PythonError, typeError } from './errors.ts'
import { formatPercent } from './format/percent.ts'
import { escapeMarkup } from './markup.ts'
import { bitLength, checkBits, toFloat } from './numbers.ts'
import { repeatText } from './repeat.ts'
import type { Runtime } from './runtime.ts'
import { joinTexts, Text } from './text.ts'
import { integerOf, isList, isNumber, Tuple, typeName, Undefined, type Value, View } from './values.ts'

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**'

interface NumberRule {
  readonly integers: (left: bigint, right: bigint) => Value
  readonly floats: (left: number, right: number) => Value
}

export function binary(runtime: Runtime, operator: BinaryOperator, left: Value, right: Value): Value {
  if (operator === '%' && left instanceof Text) return formatPercent(runtime, left, right)
  if (left instanceof Undefined) left.fail()
  if (right instanceof Undefined) right.fail()
  if (isNumber(left) && isNumber(right)) return numbers(numberRules[operator], left, right)
  const result =
    operator === '+' ? concatenate(runtime, left, right) : operator === '*' ? repeat(runtime, left, right) : undefined
  if (result !== undefined) return result
  if (operator === '-' && left instanceof View) throw notSupported('a set, as subtracting from a dict view makes,')
  throw typeError(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`)
}

function numbers({ integers, floats }: NumberRule, left: bigint | number | boolean, right: bigint | number | boolean): Value {
  const [a, b] = [integerOf(left), integerOf(right)]
  if (a !== undefined && b !== undefined) return integers(a, b)
  return floats(a === undefined ? (left as number) : toFloat(a), b === undefined ? (right as number) : toFloat(b))
}

const byZero = (what: string) => new PythonError('ZeroDivisionError', what)

const numberRules: Readonly<Record<BinaryOperator, NumberRule>> = {
  '+': { integers: (a, b) => checked(a + b), floats: (a, b) => a + b },
  '-': { integers: (a, b) => checked(a - b), floats: (a, b) => a - b },
  '*': {
    integers(a, b) {
      checkBits(bitLength(a) + bitLength(b))
      return a * b
    },
    floats: (a, b) => a * b,
  },
  '/': {
    integers(a, b) {
      if (b === 0n) throw byZero('division by zero')
      return divideIntegers(a, b)
    },
    floats(a, b) {
      if (b === 0) throw byZero('float division by zero')
      return a / b
    },
  },
  '//': {
    integers(a, b) {
      if (b === 0n) throw byZero('integer division or modulo by zero')
      return floorDivide(a, b)
    },
    floats: (a, b) => divideFloats(a, b).quotient,
  },
  '%': {
    integers(a, b) {
      if (b === 0n) throw byZero('integer division or modulo by zero')
      return a - floorDivide(a, b) * b
    },
    floats: (a, b) => divideFloats(a, b).remainder,
  },
  '**': {
    integers(a, b) {
      if (b < 0n) return powerFloats(toFloat(a), toFloat(b))
      if (a !== 0n && a !== 1n && a !== -1n) checkBits(bitLength(a) * Number(b))
      return a === 0n || a === 1n || a === -1n ? a ** (b === 0n ? 0n : b % 2n === 0n ? 2n : 1n) : a ** b
    },
    floats: powerFloats,
  },
}

function checked(value: bigint): bigint {
  if (value > 1n << 64n || value < -(1n << 64n)) checkBits(bitLength(value))
  return value
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

/** Correctly rounded, as Python divides ints. */
function divideIntegers(a: bigint, b: bigint): number {
  const exact = 1n << 53n
  const size = (value: bigint): bigint => (value < 0n ? -value : value)
  if (size(a) <= exact && size(b) <= exact) return Number(a) / Number(b)
  // Seventy bits of quotient and one that says whether anything is left: then converting rounds correctly.
  const shift = BigInt(Math.max(0, bitLength(b) - bitLength(a) + 70))
  const scaled = size(a) << shift
  const quotient = ((scaled / size(b)) << 1n) | (scaled % size(b) === 0n ? 0n : 1n)
  const value = toFloat(quotient) / 2 ** (Number(shift) + 1)
  return a < 0n === b < 0n ? value : -value
}

/** CPython's float_floor_div and float_rem (Objects/floatobject.c). */
function divideFloats(a: number, b: number): { quotient: number; remainder: number } {
  if (b === 0) throw byZero('float modulo')
  let remainder = a % b
  let quotient = (a - remainder) / b
  if (remainder !== 0) {
    if (b < 0 !== remainder < 0) {
      remainder += b
      quotient -= 1
    }
  } else remainder = b < 0 ? -0 : 0
  if (quotient !== 0) {
    const floor = Math.floor(quotient)
    quotient = quotient - floor > 0.5 ? floor + 1 : floor
  } else quotient = a / b < 0 || Object.is(a / b, -0) ? -0 : 0
  return { quotient, remainder }
}

function powerFloats(a: number, b: number): number {
  if (a === 1 || b === 0) return 1
  if (a === 0 && b < 0) throw byZero('0.0 cannot be raised to a negative power')
  if (a < 0 && Number.isFinite(a) && Number.isFinite(b) && !Number.isInteger(b)) throw notSupported('a complex number')
  if (a === -1 && !Number.isFinite(b)) return 1
  const power = exactPower(a, b)
  if (power === undefined) throw notSupported('a power whose last bit depends on the machine')
  if (!Number.isFinite(power) && Number.isFinite(a) && Number.isFinite(b))
    throw new PythonError('OverflowError', 'Numerical result out of range')
  return power
}

/** Powers that are correctly rounded everywhere. Undefined for others. */
function exactPower(a: number, b: number): number | undefined {
  if (a === 0 || !Number.isFinite(a) || !Number.isFinite(b)) return a ** b
  if (b === 1) return a
  if (b === 2) return a * a
  if (b === -1) return 1 / a
  if (b === 0.5) return Math.sqrt(a)
  if (!Number.isInteger(a) || !Number.isInteger(b) || b < 0) return undefined
  const bits = Math.log2(Math.abs(a)) * b
  return bits > 1100 ? Infinity : Number(BigInt(a) ** BigInt(b))
}

function concatenate(runtime: Runtime, left: Value, right: Value): Value | undefined {
  if (left instanceof Text && right instanceof Text) {
    const isMarkup = left.markup || right.markup
    const [a, b] = isMarkup ? [escapeMarkup(runtime, left), escapeMarkup(runtime, right)] : [left, right]
    runtime.budget.make(a.value.length + b.value.length)
    return joinTexts(a, b).as(isMarkup)
  }
  if (isList(left) && isList(right)) {
    runtime.budget.make(16 * (left.length + right.length))
    return [...left, ...right]
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    runtime.budget.make(16 * (left.items.length + right.items.length))
    return new Tuple([...left.items, ...right.items])
  }
  return undefined
}

function repeat(runtime: Runtime, left: Value, right: Value): Value | undefined {
  const times = integerOf(right) ?? integerOf(left)
  const value = integerOf(right) === undefined ? right : left
  if (times === undefined) return undefined
  const count = times < 0n ? 0 : Number(times)
  if (value instanceof Text) return repeatText(runtime, value, count)
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined
  if (!items) return undefined
  runtime.budget.make(16 * items.length * (items.length === 0 ? 0 : count))
  const repeated = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat()
  return isList(value) ? repeated : new Tuple(repeated)
}

export function negate(value: Value): Value {
  const integer = integerOf(value)
  if (integer !== undefined) return -integer
  if (typeof value === 'number') return -value
  if (value instanceof Undefined) value.fail()
  throw typeError(`bad operand type for unary -: '${typeName(value)}'`)
}

export function positive(value: Value): Value {
  const integer = integerOf(value)
  if (integer !== undefined) return integer
  if (typeof value === 'number') return value
  if (value instanceof Undefined) value.fail()
  throw typeError(`bad operand type for unary +: '${typeName(value)}'`)
}
