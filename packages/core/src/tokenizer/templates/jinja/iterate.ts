/** Goes through values within the budget. */
import { typeError } from './errors.ts'
import type { Runtime } from './runtime.ts'
import { Text } from './text.ts'
import { iteratorOf, typeName, Undefined, type Value } from './values.ts'

/** Goes through a value's items, each of which costs. @throws TypeError for what has none */
export function* iterate({ budget, strict }: Runtime, value: Value): Generator<Value> {
  if (strict && value instanceof Undefined) value.fail()
  const iterator = iteratorOf(value)
  if (!iterator) throw typeError(`'${typeName(value)}' object is not iterable`)
  // Characters are made one by one.
  const units = value instanceof Text ? 2 : 1
  for (let next = iterator.next(); !next.done; next = iterator.next()) {
    budget.spend(units)
    yield next.value
  }
}

/** All items, as a list. */
export const itemsOf = (runtime: Runtime, value: Value): Value[] => [...iterate(runtime, value)]
