/** Attributes, elements and slices, as jinja2's sandbox gives them out (jinja2/sandbox.py, `getattr` and `getitem`). */
import { isPythonError, notSupported, typeError, valueError } from './errors.ts'
import { formatFields } from './format/fields.ts'
import { methodOf } from './methods/index.ts'
import type { Runtime } from './runtime.ts'
import { integerArgument } from './signature.ts'
import { Text, TextParts, text } from './text.ts'
import {
  Callable,
  Dict,
  integerOf,
  isList,
  Range,
  sequenceItems,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

/** `object.name`: an attribute or, failing that, an element. */
export function getAttribute(runtime: Runtime, object: Value, name: string): Value {
  const found = pythonAttribute(object, name)
  if (found !== undefined) return found
  const item = element(runtime, object, text(name))
  return item === undefined ? missing(object, text(name)) : item
}

/** `object[key]`: an element or, failing that, an attribute. */
export function getItem(runtime: Runtime, object: Value, key: Value): Value {
  const found = element(runtime, object, key)
  if (found !== undefined) return found
  const attribute = key instanceof Text ? pythonAttribute(object, key.value) : undefined
  return attribute === undefined ? missing(object, key) : attribute
}

/** Methods that change a list or dict: the immutable sandbox hides them. */
const mutating: Readonly<Record<'list' | 'dict', ReadonlySet<string>>> = {
  list: new Set(['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']),
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
}

/** Attributes that every object has and the sandbox hides. They go before a dict's keys of the same name. */
const hidden =
  /^__(class|doc|init|new|repr|str|eq|ne|lt|le|gt|ge|hash|format|sizeof|dir|reduce|reduce_ex|getattribute|setattr|delattr|init_subclass|subclasshook|getstate)__$/
const hiddenOfDict = /^__(len|getitem|setitem|delitem|contains|iter|or|ror|ior|reversed|class_getitem)__$/

const hiddenOfUndefined =
  /^__(slots|module|getattr|aiter|r?(add|sub|mul|truediv|div|floordiv|mod|pow)|pos|neg|call|getitem|int|float|complex|len|iter|bool)__$/

/** Undefined where Python's `getattr` raises an AttributeError. */
export function pythonAttribute(object: Value, name: string): Value | undefined {
  if (object instanceof Undefined) return hidden.test(name) || hiddenOfUndefined.test(name) ? unsafe(object, name) : object.fail()
  if (object instanceof Thing) return object.attribute(name)
  if (name.startsWith('_')) {
    return hidden.test(name) || (object instanceof Dict && hiddenOfDict.test(name)) ? unsafe(object, name) : undefined
  }
  if (isList(object) && mutating.list.has(name)) return unsafe(object, name)
  if (object instanceof Dict && mutating.dict.has(name)) return unsafe(object, name)
  if (object instanceof Tuple && object.fields.includes(name)) return object.items[object.fields.indexOf(name)]
  if (object instanceof Callable) return object.attributes[name]
  if (object instanceof Text && (name === 'format' || name === 'format_map')) return formatMethod(object, name)
  return methodOf(object, name)
}

/** Fields in a format look attributes and elements up as templates do. */
const formatMethod = (format: Text, name: 'format' | 'format_map'): Callable =>
  new Callable(name, (runtime, args) => {
    if (name === 'format') return formatFields(runtime, format, args, { getAttribute, getItem })
    const [mapping] = args.positional
    if (args.named.size > 0 || args.positional.length !== 1) throw typeError('format_map() takes exactly one argument')
    if (!(mapping instanceof Dict)) throw notSupported('format_map of what is not a dict')
    const named = new Map(
      [...mapping.entries()].flatMap(([key, value]) => (key instanceof Text ? [[key.value, value] as const] : [])),
    )
    return formatFields(runtime, format, { positional: [], named }, { getAttribute, getItem })
  })

const unsafe = (object: Value, name: string): Undefined =>
  new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`, true)

function missing(object: Value, key: Value): Undefined {
  const type = object === null ? 'None' : `${typeName(object)} object`
  if (key instanceof Text) return new Undefined(`'${type}' has no attribute '${key.value}'`)
  return new Undefined(`${type} has no element ${typeof key === 'bigint' ? key : typeName(key)}`)
}

/** `object[key]` of Python; undefined where it raises a TypeError or LookupError. */
function element(runtime: Runtime, object: Value, key: Value): Value | undefined {
  if (object instanceof Undefined) return object.fail()
  if (object instanceof Dict) {
    try {
      return object.get(key)
    } catch (error) {
      if (isPythonError(error, 'TypeError')) return undefined
      throw error
    }
  }
  const index = integerOf(key)
  if (index === undefined) return undefined
  const length = object instanceof Text || object instanceof Range ? object.length : sequenceItems(object)?.length
  if (length === undefined) return undefined
  const at = Number(index < 0n ? index + BigInt(length) : index)
  if (!(at >= 0 && at < length)) return undefined
  if (object instanceof Text) {
    runtime.budget.spend(1)
    return object.at(at)
  }
  return object instanceof Range ? object.at(at) : sequenceItems(object)![at]
}

export const isSliceable = (object: Value): object is Text | Range | Tuple | readonly Value[] =>
  object instanceof Text || object instanceof Range || sequenceItems(object) !== undefined

/** `object[start:stop:step]`. */
export function slice(runtime: Runtime, object: Value, bounds: readonly (Value | undefined)[]): Value {
  if (object instanceof Undefined) object.fail()
  const items = sequenceItems(object)
  if (!isSliceable(object))
    throw typeError(object instanceof Dict ? "unhashable type: 'slice'" : `'${typeName(object)}' object is not subscriptable`)
  const length = items?.length ?? (object as Text | Range).length
  const [start, stop, step] = sliceIndices(length, bounds)
  const count = Math.max(0, Math.ceil((stop - start) / step))
  runtime.budget.spend(1 + count / 16)
  if (object instanceof Range) {
    return new Range(
      object.start + BigInt(start) * object.step,
      object.start + BigInt(stop) * object.step,
      object.step * BigInt(step),
    )
  }
  if (object instanceof Text) {
    runtime.budget.make(count)
    if (step === 1) return object.slice(start, Math.max(start, stop))
    runtime.budget.spend(count / 2)
    const parts = new TextParts()
    for (let i = 0; i < count; i++) parts.push(object.at(start + i * step))
    return parts.text(object.markup)
  }
  runtime.budget.make(16 * count)
  const taken = Array.from({ length: count }, (_, i) => items![start + i * step]!)
  return object instanceof Tuple ? new Tuple(taken) : taken
}

/** CPython's PySlice_AdjustIndices. */
function sliceIndices(
  length: number,
  [startBound, stopBound, stepBound]: readonly (Value | undefined)[],
): [number, number, number] {
  const index = (bound: Value | undefined, otherwise: number): number => {
    if (bound === undefined || bound === null) return otherwise
    if (integerOf(bound) === undefined) throw typeError('slice indices must be integers or None or have an __index__ method')
    return integerArgument(bound)
  }
  const step = index(stepBound, 1)
  if (step === 0) throw valueError('slice step cannot be zero')
  const clamp = (at: number): number => {
    const fromStart = at < 0 ? at + length : at
    return step > 0 ? Math.min(Math.max(fromStart, 0), length) : Math.min(Math.max(fromStart, -1), length - 1)
  }
  const start = startBound === undefined || startBound === null ? (step > 0 ? 0 : length - 1) : clamp(index(startBound, 0))
  const stop = stopBound === undefined || stopBound === null ? (step > 0 ? length : -1) : clamp(index(stopBound, 0))
  return [start, stop, step]
}
