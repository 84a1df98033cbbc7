/** Python's comparisons. */
import { notSupported, typeError } from './errors.ts'
import { iterate } from './iterate.ts'
import type { Runtime } from './runtime.ts'
import { compareTexts, Text } from './text.ts'
import {
  Dict,
  integerOf,
  isList,
  isNumber,
  Range,
  sequenceItems,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts'

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export function compare(runtime: Runtime, operator: Comparison, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equal(runtime, left, right)
    case '!=':
      return !equal(runtime, left, right)
    case 'in':
      return contains(runtime, right, left)
    case 'not in':
      return !contains(runtime, right, left)
    default:
      return ordered(runtime, operator, left, right)
  }
}

export function equal(runtime: Runtime, left: Value, right: Value): boolean {
  runtime.budget.spend(2)
  if (isNumber(left) && isNumber(right)) return equalNumbers(integerOf(left) ?? left, integerOf(right) ?? right)
  if (left instanceof Text && right instanceof Text) {
    if (left.value.length === right.value.length) runtime.budget.read(left.value.length)
    return left.value === right.value
  }
  if (left instanceof Undefined) return right instanceof Undefined
  if (left === right) return true
  const [a, b] = [sequenceItems(left), sequenceItems(right)]
  if (a && b && isList(left) === isList(right)) {
    return a.length === b.length && nested(runtime, () => a.every((item, i) => same(runtime, item, b[i]!)))
  }
  if (left instanceof Dict && right instanceof Dict) return nested(runtime, () => equalDicts(runtime, left, right))
  if (left instanceof Range && right instanceof Range) {
    return (
      left.length === right.length &&
      (left.length === 0 || (left.start === right.start && (left.length === 1 || left.step === right.step)))
    )
  }
  if (left instanceof View && right instanceof View && left.kind !== 'values' && right.kind !== 'values') {
    throw notSupported('comparing dict views')
  }
  return false
}

/** Also of an int and a float, exactly. */
const equalNumbers = (left: number | bigint | boolean, right: number | bigint | boolean): boolean =>
  left <= right && left >= right

/** As containers compare their items: what is the same object is equal. */
const same = (runtime: Runtime, left: Value, right: Value): boolean => left === right || equal(runtime, left, right)

function equalDicts(runtime: Runtime, left: Dict, right: Dict): boolean {
  if (left.size !== right.size) return false
  for (const [key, value] of left.entries()) {
    const other = right.get(key)
    if (other === undefined || !same(runtime, value, other)) return false
  }
  return true
}

function nested<T>({ budget }: Runtime, work: () => T): T {
  budget.enter()
  try {
    return work()
  } finally {
    budget.leave()
  }
}

export function ordered(runtime: Runtime, operator: '<' | '<=' | '>' | '>=', left: Value, right: Value): boolean {
  if (left instanceof Undefined) left.fail()
  if (right instanceof Undefined) right.fail()
  runtime.budget.spend(1)
  if (isNumber(left) && isNumber(right)) return holds(operator, integerOf(left) ?? left, integerOf(right) ?? right)
  if (left instanceof Text && right instanceof Text) {
    runtime.budget.read(Math.min(left.value.length, right.value.length))
    return holds(operator, compareTexts(left.value, right.value), 0)
  }
  const [a, b] = [sequenceItems(left), sequenceItems(right)]
  if (a && b && isList(left) === isList(right)) {
    return nested(runtime, () => {
      const differs = a.findIndex((item, i) => i >= b.length || !same(runtime, item, b[i]!))
      if (differs < 0 || differs >= b.length) return holds(operator, a.length, b.length)
      return ordered(runtime, operator, a[differs]!, b[differs]!)
    })
  }
  if (left instanceof View && right instanceof View && left.kind !== 'values' && right.kind !== 'values') {
    throw notSupported('comparing dict views')
  }
  throw typeError(`'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`)
}

function holds(operator: '<' | '<=' | '>' | '>=', left: number | bigint | boolean, right: number | bigint | boolean): boolean {
  if (operator === '<') return left < right
  if (operator === '<=') return left <= right
  return operator === '>' ? left > right : left >= right
}

export function contains(runtime: Runtime, container: Value, item: Value): boolean {
  if (container instanceof Text) {
    if (!(item instanceof Text)) {
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    }
    chargeSearch(runtime, container.value, item.value)
    return container.value.includes(item.value)
  }
  if (container instanceof Dict) return container.has(item)
  if (container instanceof View && container.kind === 'keys') return container.dict.has(item)
  if (container instanceof View && container.kind === 'items') {
    const pair = item instanceof Tuple && item.items.length === 2 ? item.items : undefined
    const value = pair && container.dict.get(pair[0]!)
    return value !== undefined && same(runtime, value, pair![1]!)
  }
  if (container instanceof Range) return inRange(container, item)
  try {
    for (const each of iterate(runtime, container)) if (same(runtime, each, item)) return true
  } catch (error) {
    if (sequenceItems(container) === undefined && isNotIterable(error))
      throw typeError(`argument of type '${typeName(container)}' is not iterable`)
    throw error
  }
  return false
}

const isNotIterable = (error: unknown): boolean => error instanceof Error && error.message.endsWith('object is not iterable')

function inRange(range: Range, item: Value): boolean {
  if (!isNumber(item)) return false
  const value = integerOf(item) ?? (Number.isInteger(item) ? BigInt(item as number) : undefined)
  if (value === undefined || range.length === 0) return false
  const offset = value - range.start
  return offset % range.step === 0n && offset / range.step >= 0n && offset / range.step < BigInt(range.length)
}

/** Finding a text in another takes time in the product of both, where they are made for it. */
export function chargeSearch({ budget }: Runtime, text: string, part: string): void {
  budget.read(text.length)
  if (part.length <= text.length) budget.spend((text.length * part.length) / 4096)
}

/** Python's `sorted` with a key: stable, and only ever asking for "less". */
export function sortBy(runtime: Runtime, items: readonly Value[], key: (item: Value) => Value, reverse: boolean): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }))
  const less = (a: { key: Value }, b: { key: Value }): boolean => ordered(runtime, '<', a.key, b.key)
  runtime.budget.spend(items.length * 4)
  keyed.sort((a, b) => (reverse ? (less(b, a) ? -1 : less(a, b) ? 1 : 0) : less(a, b) ? -1 : less(b, a) ? 1 : 0))
  return keyed.map(({ item }) => item)
}
