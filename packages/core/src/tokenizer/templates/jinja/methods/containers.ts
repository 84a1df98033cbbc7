/** What lists, tuples, dicts, ranges and numbers have. */
import { equal } from '../comparing.ts'
import { notSupported, PythonError, valueError } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import { integerArgument } from '../signature.ts'
import { Callable, type Dict, type Range, Tuple, type Value, View } from '../values.ts'
import type { Method } from './method.ts'

const isSame = (runtime: Runtime, left: Value, right: Value): boolean => left === right || equal(runtime, left, right)

/** Of tuples as well, but for `copy`. */
export const listMethods: Readonly<Record<string, Method<readonly Value[]>>> = {
  copy: { parameters: '', run: (_, items) => items },
  count: {
    parameters: 'value, /',
    run: (runtime, items, [value]) => BigInt(items.filter((item) => isSame(runtime, item, value!)).length),
  },
  index: {
    parameters: 'value, start=0, stop=9223372036854775807, /',
    run(runtime, items, [value, first, last]) {
      const clamp = (index: number): number => (index < 0 ? Math.max(0, index + items.length) : index)
      const [start, stop] = [clamp(integerArgument(first!)), clamp(integerArgument(last!))]
      const found = items.findIndex((item, i) => i >= start && i < stop && isSame(runtime, item, value!))
      if (found < 0) throw valueError('the value is not in list')
      return BigInt(found)
    },
  },
}

export const dictMethods: Readonly<Record<string, Method<Dict>>> = {
  copy: { parameters: '', run: (_, dict) => dict },
  get: {
    parameters: 'key, default=none, /',
    run: (_, dict, [key, otherwise]) => (dict.has(key!) ? dict.get(key!)! : otherwise!),
  },
  items: { parameters: '', run: (_, dict) => new View(dict, 'items') },
  keys: { parameters: '', run: (_, dict) => new View(dict, 'keys') },
  values: { parameters: '', run: (_, dict) => new View(dict, 'values') },
}

export const rangeAttributes: Readonly<Record<string, (range: Range) => Value>> = {
  start: (range) => range.start,
  stop: (range) => range.stop,
  step: (range) => range.step,
}

const method = (name: string, run: () => Value): Callable => new Callable(name, run)

const refused = (name: string): (() => Callable) => {
  return () =>
    method(name, () => {
      throw notSupported(`the method ${name} of a number`)
    })
}

export const integerAttributes: Readonly<Record<string, (value: bigint) => Value>> = {
  real: (value) => value,
  imag: () => 0n,
  numerator: (value) => value,
  denominator: () => 1n,
  conjugate: (value) => method('conjugate', () => value),
  bit_length: (value) => method('bit_length', () => BigInt(value === 0n ? 0 : (value < 0n ? -value : value).toString(2).length)),
  bit_count: (value) => method('bit_count', () => BigInt((value < 0n ? -value : value).toString(2).replaceAll('0', '').length)),
  as_integer_ratio: (value) => method('as_integer_ratio', () => new Tuple([value, 1n])),
  to_bytes: refused('to_bytes'),
  from_bytes: refused('from_bytes'),
}

export const floatAttributes: Readonly<Record<string, (value: number) => Value>> = {
  real: (value) => value,
  imag: () => 0,
  conjugate: (value) => method('conjugate', () => value),
  is_integer: (value) => method('is_integer', () => Number.isInteger(value)),
  as_integer_ratio: (value) =>
    method('as_integer_ratio', () => {
      if (!Number.isFinite(value)) throw new PythonError('OverflowError', 'cannot convert Infinity or NaN to integer ratio')
      let [numerator, denominator] = [value, 1n]
      while (!Number.isInteger(numerator)) [numerator, denominator] = [numerator * 2, denominator * 2n]
      return new Tuple([BigInt(numerator), denominator])
    }),
  hex: refused('hex'),
  fromhex: refused('fromhex'),
}
