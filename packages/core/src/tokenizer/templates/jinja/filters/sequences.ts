/** Filters that go through sequences. */
import { getAttribute, pythonAttribute } from '../access.ts'
import { binary } from '../arithmetic.ts'
import { equal, ordered, sortBy } from '../comparing.ts'
import { PythonError, typeError } from '../errors.ts'
import { itemsOf, iterate } from '../iterate.ts'
import type { Runtime } from '../runtime.ts'
import { integerArgument, textArgument } from '../signature.ts'
import { Text, TextParts } from '../text.ts'
import {
  Dict,
  hashOf,
  Iter,
  integerOf,
  isList,
  lengthOf,
  Range,
  Tuple,
  truthy,
  typeName,
  Undefined,
  type Value,
  View,
} from '../values.ts'
import { attributeGetter, comparisonKey, type Filter, ignoreCase, sortKey } from './filter.ts'

/** `len`. @throws TypeError */
function length(value: Value): bigint {
  const found = lengthOf(value)
  if (found === undefined) throw typeError(`object of type '${typeName(value)}' has no len()`)
  return BigInt(found)
}

/** Python's `reversed`. Undefined where it is a TypeError. */
function reversed(runtime: Runtime, value: Value): Iterator<Value> | undefined {
  const isReversible =
    value instanceof Text || isList(value) || value instanceof Tuple || value instanceof Dict || value instanceof Range
  if (!isReversible && !(value instanceof View) && !(value instanceof Undefined)) return undefined
  const items = itemsOf(runtime, value).reverse()
  // Python's `reversed` takes elements, of which those of markup are markup.
  return (value instanceof Text && value.markup ? items.map((item) => (item as Text).as(true)) : items)[Symbol.iterator]()
}

function reverse(runtime: Runtime, value: Value): Value {
  if (value instanceof Text) {
    runtime.budget.spend(value.length / 2)
    const parts = new TextParts()
    for (let i = value.length - 1; i >= 0; i--) parts.push(value.at(i))
    return parts.text(value.markup)
  }
  const iterator = reversed(runtime, value)
  return iterator ? new Iter(iterator, 'reversed') : itemsOf(runtime, value).reverse()
}

function best(runtime: Runtime, [items, caseSensitive, attribute]: readonly Value[], operator: '<' | '>'): Value {
  const key = comparisonKey(attribute!, truthy(caseSensitive!))
  let found: { item: Value; key: Value } | undefined
  for (const item of iterate(runtime, items!)) {
    const candidate = { item, key: key(runtime, item) }
    if (!found || ordered(runtime, operator, candidate.key, found.key)) found = candidate
  }
  return found ? found.item : new Undefined('No aggregated item, sequence was empty.')
}

function* batches(runtime: Runtime, items: Value, count: Value, fill: Value): Generator<Value> {
  const size = integerOf(count)
  let batch: Value[] = []
  for (const item of iterate(runtime, items)) {
    if (size !== undefined && BigInt(batch.length) === size) {
      yield batch
      batch = []
    }
    batch.push(item)
  }
  if (batch.length === 0) return
  if (fill !== null) {
    const missing = integerArgument(count) - batch.length
    runtime.budget.make(16 * Math.max(0, missing))
    for (let i = 0; i < missing; i++) batch.push(fill)
  }
  yield batch
}

function* slices(runtime: Runtime, value: Value, count: Value, fill: Value): Generator<Value> {
  const items = itemsOf(runtime, value)
  const parts = integerArgument(count)
  if (parts === 0) throw new PythonError('ZeroDivisionError', 'integer division or modulo by zero')
  const size = Math.floor(items.length / parts)
  const extra = items.length - size * parts
  let start = 0
  for (let i = 0; i < parts; i++) {
    runtime.budget.spend(4)
    const end = start + size + (i < extra ? 1 : 0)
    const part = items.slice(start, end)
    yield fill !== null && i >= extra ? [...part, fill] : part
    start = end
  }
}

function* unique(runtime: Runtime, items: Value, caseSensitive: Value, attribute: Value): Generator<Value> {
  const key = comparisonKey(attribute, truthy(caseSensitive))
  const seen = new Set<unknown>()
  for (const item of iterate(runtime, items)) {
    const hash = hashOf(key(runtime, item))
    if (seen.has(hash)) continue
    seen.add(hash)
    yield item
  }
}

function groupBy(runtime: Runtime, [items, attribute, otherwise, caseSensitive]: readonly Value[]): Value {
  const key = comparisonKey(attribute!, truthy(caseSensitive!), otherwise)
  const written = attributeGetter(attribute!, otherwise)
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sortBy(runtime, itemsOf(runtime, items!), (each) => key(runtime, each), false)) {
    const own = key(runtime, item)
    const last = groups.at(-1)
    if (last && equal(runtime, last.key, own)) last.items.push(item)
    else groups.push({ key: own, items: [item] })
  }
  return groups.map((group) => {
    const name = truthy(caseSensitive!) ? group.key : written(runtime, group.items[0]!)
    return new Tuple([name, group.items], ['grouper', 'list'])
  })
}

function dictSort(runtime: Runtime, [dict, caseSensitive, by, descending]: readonly Value[]): Value {
  const at = by instanceof Text ? ['key', 'value'].indexOf(by.value) : -1
  if (at < 0) throw new PythonError('TypeError', 'You can only sort by either "key" or "value"')
  if (dict instanceof Undefined) dict.fail()
  if (!(dict instanceof Dict)) throw typeError(`'${typeName(dict!)}' object has no attribute 'items'`)
  const key = (item: Value): Value => ignoreCase(runtime, (item as Tuple).items[at]!, truthy(caseSensitive!))
  return sortBy(runtime, itemsOf(runtime, new View(dict, 'items')), key, truthy(descending!))
}

function* pairs(runtime: Runtime, value: Value): Generator<Value> {
  if (value instanceof Undefined) return
  if (!(value instanceof Dict)) throw typeError('Can only get item pairs from a mapping.')
  yield* iterate(runtime, new View(value, 'items'))
}

function sum(runtime: Runtime, [items, attribute, start]: readonly Value[]): Value {
  const get = attributeGetter(attribute!)
  if (start instanceof Text) throw typeError("sum() can't sum strings [use ''.join(seq) instead]")
  let total: Value = start!
  for (const item of iterate(runtime, items!)) total = binary(runtime, '+', total, get(runtime, item))
  return total
}

function attribute(runtime: Runtime, object: Value, name: Text): Value {
  if (pythonAttribute(object, name.value) !== undefined) return getAttribute(runtime, object, name.value)
  return new Undefined(`'${typeName(object)} object' has no attribute '${name.value}'`)
}

export const sequenceFilters: Readonly<Record<string, Filter>> = {
  attr: {
    parameters: 'obj, name',
    run: (runtime, [object, name]) => attribute(runtime, object!, textArgument(name!, 'attribute name')),
  },
  batch: {
    parameters: 'value, linecount, fill_with=none',
    run: (runtime, [items, count, fill]) => new Iter(batches(runtime, items!, count!, fill!)),
  },
  count: { parameters: 'obj, /', run: (_, [value]) => length(value!) },
  default: {
    parameters: "value, default_value='', boolean=false",
    run: (_, [value, otherwise, boolean]) =>
      value instanceof Undefined || (truthy(boolean!) && !truthy(value!)) ? otherwise! : value!,
  },
  dictsort: { parameters: "value, case_sensitive=false, by='key', reverse=false", run: dictSort },
  first: {
    parameters: 'seq',
    run(runtime, [items]) {
      for (const item of iterate(runtime, items!)) return item
      return new Undefined('No first item, sequence was empty.')
    },
  },
  groupby: { parameters: 'value, attribute, default=none, case_sensitive=false', run: groupBy },
  items: { parameters: 'value', run: (runtime, [value]) => new Iter(pairs(runtime, value!)) },
  last: {
    parameters: 'seq',
    run(runtime, [items]) {
      const iterator = reversed(runtime, items!)
      if (!iterator) throw typeError(`'${typeName(items!)}' object is not reversible`)
      const { value, done } = iterator.next()
      return done ? new Undefined('No last item, sequence was empty.') : value
    },
  },
  length: { parameters: 'obj, /', run: (_, [value]) => length(value!) },
  list: { parameters: 'value', run: (runtime, [value]) => itemsOf(runtime, value!) },
  max: { parameters: 'value, case_sensitive=false, attribute=none', run: (runtime, args) => best(runtime, args, '>') },
  min: { parameters: 'value, case_sensitive=false, attribute=none', run: (runtime, args) => best(runtime, args, '<') },
  reverse: { parameters: 'value', run: (runtime, [value]) => reverse(runtime, value!) },
  slice: {
    parameters: 'value, slices, fill_with=none',
    run: (runtime, [items, count, fill]) => new Iter(slices(runtime, items!, count!, fill!)),
  },
  sort: {
    parameters: 'value, reverse=false, case_sensitive=false, attribute=none',
    run(runtime, [items, descending, caseSensitive, by]) {
      const key = sortKey(by!, truthy(caseSensitive!))
      return sortBy(runtime, itemsOf(runtime, items!), (item) => key(runtime, item), truthy(descending!))
    },
  },
  sum: { parameters: 'iterable, attribute=none, start=0', run: (runtime, args) => sum(runtime, args) },
  unique: {
    parameters: 'value, case_sensitive=false, attribute=none',
    run: (runtime, [items, caseSensitive, by]) => new Iter(unique(runtime, items!, caseSensitive!, by!)),
  },
}
