/** Filters that make numbers. */
import { binary } from '../arithmetic.ts'
import { isPythonError, PythonError, typeError } from '../errors.ts'
import { parseFloatText, parseInteger, roundFloat, roundInteger, toFloat, truncateFloat } from '../numbers.ts'
import type { Runtime } from '../runtime.ts'
import { integerArgument } from '../signature.ts'
import { Text } from '../text.ts'
import { integerOf, typeName, Undefined, type Value } from '../values.ts'
import type { Filter } from './filter.ts'

/** Python's `float(value)`. @throws TypeError, ValueError */
export function toFloatValue(value: Value): number {
  if (value instanceof Undefined) value.fail()
  if (value instanceof Text) return parseFloatText(value.value)
  const integer = integerOf(value)
  if (integer !== undefined) return toFloat(integer)
  if (typeof value === 'number') return value
  throw typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`)
}

function toInteger(value: Value, base: Value): bigint {
  if (value instanceof Undefined) value.fail()
  if (value instanceof Text) return parseInteger(value.value, integerArgument(base))
  const integer = integerOf(value)
  if (integer !== undefined) return integer
  if (typeof value === 'number') return truncateFloat(value)
  throw typeError(`int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`)
}

function round(runtime: Runtime, value: Value, precision: Value, method: Value): Value {
  const how = method instanceof Text ? method.value : ''
  if (!['common', 'ceil', 'floor'].includes(how)) throw typeError('method must be common, ceil or floor')
  const integer = integerOf(value)
  if (integer === undefined && typeof value !== 'number') {
    if (value instanceof Undefined && how !== 'common') value.fail()
    throw typeError(`type ${typeName(value)} doesn't define __round__ method`)
  }
  if (how === 'common') {
    if (precision === null) {
      if (integer !== undefined) return integer
      return truncateFloat(Number.isFinite(value as number) ? roundFloat(value as number, 0) : (value as number))
    }
    const digits = integerArgument(precision)
    return integer === undefined ? roundFloat(value as number, digits) : roundInteger(integer, digits)
  }
  const scale = binary(runtime, '**', 10n, precision)
  const scaled = binary(runtime, '*', value, scale)
  const whole = typeof scaled === 'number' ? truncateFloat(how === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) : scaled
  return binary(runtime, '/', whole, scale)
}

export const numberFilters: Readonly<Record<string, Filter>> = {
  abs: {
    parameters: 'x, /',
    run(_, [value]) {
      const integer = integerOf(value!)
      if (integer !== undefined) return integer < 0n ? -integer : integer
      if (typeof value === 'number') return Math.abs(value)
      throw typeError(`bad operand type for abs(): '${typeName(value!)}'`)
    },
  },
  float: {
    parameters: 'value, default=0.0',
    run({ budget }, [value, otherwise]) {
      if (value instanceof Text) budget.read(4 * value.value.length)
      try {
        return toFloatValue(value!)
      } catch (error) {
        if (isPythonError(error, 'TypeError', 'ValueError')) return otherwise!
        throw error
      }
    },
  },
  int: {
    parameters: 'value, default=0, base=10',
    run({ budget }, [value, otherwise, base]) {
      if (value instanceof Text) budget.read(4 * value.value.length)
      try {
        return toInteger(value!, base!)
      } catch (error) {
        if (!isPythonError(error, 'TypeError', 'ValueError')) throw error
      }
      try {
        return truncateFloat(toFloatValue(value!))
      } catch (error) {
        if (error instanceof PythonError && isPythonError(error, 'TypeError', 'ValueError', 'OverflowError')) return otherwise!
        throw error
      }
    },
  },
  round: {
    parameters: "value, precision=0, method='common'",
    run: (runtime, [value, precision, method]) => round(runtime, value!, precision!, method!),
  },
}
