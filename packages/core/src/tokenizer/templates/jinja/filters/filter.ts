/** A filter, and what several of them share. */
import { getItem } from '../access.ts'
import { lower } from '../methods/characters.ts'
import type { Runtime } from '../runtime.ts'
import { Text, text } from '../text.ts'
import { type Arguments, Undefined, type Value } from '../values.ts'

export interface Filter {
  /** The value to filter comes first; see `signature`. */
  readonly parameters: string
  run(runtime: Runtime, args: readonly Value[]): Value
}

/** Takes its arguments as they come. */
export type FreeFilter = (runtime: Runtime, args: Arguments) => Value

/** jinja2's make_attrgetter: a path of names and numbers with dots between, looked up step by step. */
export function attributeGetter(attribute: Value, otherwise: Value = null): (runtime: Runtime, item: Value) => Value {
  const steps = attributeSteps(attribute)
  return (runtime, item) => {
    let value = item
    for (const step of steps) {
      runtime.budget.spend(1)
      value = getItem(runtime, value, step)
      if (value instanceof Undefined && otherwise !== null) value = otherwise
    }
    return value
  }
}

function attributeSteps(attribute: Value): Value[] {
  if (attribute === null) return []
  if (!(attribute instanceof Text)) return [attribute]
  return attribute.value.split('.').map((step) => (/^\d+$/.test(step) ? BigInt(step) : text(step)))
}

/** A key to compare by: texts in lower case unless `caseSensitive`. */
export function comparisonKey(
  attribute: Value,
  caseSensitive: boolean,
  otherwise: Value = null,
): (runtime: Runtime, item: Value) => Value {
  const get = attributeGetter(attribute, otherwise)
  return (runtime, item) => ignoreCase(runtime, get(runtime, item), caseSensitive)
}

export function ignoreCase(runtime: Runtime, value: Value, caseSensitive: boolean): Value {
  if (caseSensitive || !(value instanceof Text)) return value
  runtime.budget.read(value.value.length)
  return lower(value)
}

/** Several attributes with commas between, for `sort`. */
export function sortKey(attribute: Value, caseSensitive: boolean): (runtime: Runtime, item: Value) => Value {
  const attributes = attribute instanceof Text ? attribute.value.split(',').map(text) : [attribute]
  const keys = attributes.map((each) => comparisonKey(each, caseSensitive))
  return (runtime, item) => keys.map((key) => key(runtime, item))
}
