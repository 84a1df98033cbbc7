/** jinja2's tests by name (jinja2/tests.py): what stands behind `is`. */
import { binary } from './arithmetic.ts'
import { type Comparison, compare, equal } from './comparing.ts'
import { notSupported, runtimeError } from './errors.ts'
import { isCase } from './methods/characters.ts'
import { stringOf } from './printing.ts'
import type { Runtime } from './runtime.ts'
import { signature } from './signature.ts'
import { Text } from './text.ts'
import {
  type Arguments,
  Callable,
  Dict,
  hashOf,
  isList,
  isNumber,
  iteratorOf,
  lengthOf,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

type Test = (runtime: Runtime, value: Value, other: Value) => boolean

const ofValue: Readonly<Record<string, Test>> = {
  boolean: (_, value) => typeof value === 'boolean',
  callable: (_, value) =>
    value instanceof Callable || value instanceof Undefined || (value instanceof Thing && value.call !== undefined),
  defined: (_, value) => !(value instanceof Undefined),
  escaped: (_, value) => value instanceof Text && value.markup,
  even: (runtime, value) => equal(runtime, binary(runtime, '%', value, 2n), 0n),
  false: (_, value) => value === false,
  float: (_, value) => typeof value === 'number',
  integer: (_, value) => typeof value === 'bigint',
  iterable: (_, value) => iteratorOf(value) !== undefined,
  lower: (runtime, value) => isCase(stringOf(runtime, value).value, 'lower'),
  mapping: (_, value) => value instanceof Dict,
  none: (_, value) => value === null,
  number: (_, value) => isNumber(value),
  odd: (runtime, value) => equal(runtime, binary(runtime, '%', value, 2n), 1n),
  sequence: (_, value) => lengthOf(value) !== undefined && hasElements(value),
  string: (_, value) => value instanceof Text,
  true: (_, value) => value === true,
  undefined: (_, value) => value instanceof Undefined,
  upper: (runtime, value) => isCase(stringOf(runtime, value).value, 'upper'),
}

const hasElements = (value: Value): boolean =>
  value instanceof Text ||
  isList(value) ||
  value instanceof Tuple ||
  value instanceof Dict ||
  value instanceof Range ||
  value instanceof Undefined

const comparing =
  (operator: Comparison): Test =>
  (runtime, value, other) =>
    compare(runtime, operator, value, other)

const ofTwo: Readonly<Record<string, Test>> = {
  divisibleby: (runtime, value, other) => equal(runtime, binary(runtime, '%', value, other), 0n),
  sameas: (runtime, value, other) => isSame(runtime, value, other),
  in: comparing('in'),
  '==': comparing('=='),
  eq: comparing('=='),
  equalto: comparing('=='),
  '!=': comparing('!='),
  ne: comparing('!='),
  '>': comparing('>'),
  gt: comparing('>'),
  greaterthan: comparing('>'),
  '>=': comparing('>='),
  ge: comparing('>='),
  '<': comparing('<'),
  lt: comparing('<'),
  lessthan: comparing('<'),
  '<=': comparing('<='),
  le: comparing('<='),
}

/** Whether Python has one object for both. Of equal texts and numbers that depends on where they came from. */
function isSame(runtime: Runtime, value: Value, other: Value): boolean {
  const isConstant = (each: Value): boolean => each === null || typeof each === 'boolean' || each instanceof Undefined
  if (isConstant(value) || isConstant(other)) return value === other
  if (typeof value === 'bigint' && value === other && value >= -5n && value <= 256n) return true
  if (typeName(value) !== typeName(other)) return false
  if (equal(runtime, value, other)) throw notSupported('sameas of equal values')
  return false
}

const bindOne = signature('test', 'value, /')
const bindTwo = signature('test', 'value, other, /')

export const isTest = (name: string): boolean =>
  Object.hasOwn(ofValue, name) || Object.hasOwn(ofTwo, name) || name === 'filter' || name === 'test'

/** `isFilter` says which filters there are. */
export function callTest(runtime: Runtime, name: string, args: Arguments, isFilter: (name: string) => boolean): boolean {
  runtime.budget.spend(1)
  if (name === 'filter' || name === 'test') {
    const [value] = bindOne(args)
    // They are looked up in a dict.
    hashOf(value!)
    return value instanceof Text && (name === 'filter' ? isFilter(value.value) : isTest(value.value))
  }
  if (Object.hasOwn(ofValue, name)) {
    const [value] = bindOne(args)
    return ofValue[name]!(runtime, value!, null)
  }
  if (!Object.hasOwn(ofTwo, name)) throw runtimeError(`No test named '${name}' found.`)
  const [value, other] = bindTwo(args)
  return ofTwo[name]!(runtime, value!, other!)
}
