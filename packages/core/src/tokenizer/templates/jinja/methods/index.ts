/** Methods and attributes of Python's built-in types that templates may use. */
import { notSupported } from '../errors.ts'
import { signature } from '../signature.ts'
import { Text } from '../text.ts'
import { Callable, Dict, Iter, integerOf, Range, sequenceItems, Tuple, typeName, type Value, View } from '../values.ts'
import { dictMethods, floatAttributes, integerAttributes, listMethods, rangeAttributes } from './containers.ts'
import type { Method } from './method.ts'
import { refusedTextMethods, textMethods } from './text.ts'

/** Undefined where the value's type has no attribute of this name. */
export function methodOf(object: Value, name: string): Value | undefined {
  if (object instanceof Text) {
    return refusedTextMethods.has(name) ? refused('str', name) : bound(textMethods, object, name)
  }
  if (object instanceof Dict) return name === 'fromkeys' ? refused('dict', name) : bound(dictMethods, object, name)
  const items = sequenceItems(object)
  if (items) {
    if (name === 'copy' && object instanceof Tuple) return undefined
    return bound(listMethods, items, name)
  }
  if (object instanceof Range)
    return name === 'count' || name === 'index' ? refused('range', name) : own(rangeAttributes, object, name)
  if (typeof object === 'number') return own(floatAttributes, object, name)
  const integer = integerOf(object)
  if (integer !== undefined) return own(integerAttributes, integer, name)
  if (object instanceof View && (name === 'isdisjoint' || name === 'mapping')) return refused(typeName(object), name)
  if (object instanceof Iter && /^(close|send|throw|gi_\w+)$/.test(name)) return refused(typeName(object), name)
  return undefined
}

function own<Self>(attributes: Readonly<Record<string, (self: Self) => Value>>, self: Self, name: string): Value | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name]!(self) : undefined
}

function bound<Self>(methods: Readonly<Record<string, Method<Self>>>, self: Self, name: string): Callable | undefined {
  if (!Object.hasOwn(methods, name)) return undefined
  const { parameters, run } = methods[name]!
  const bind = signature(name, parameters)
  return new Callable(name, (runtime, args) => run(runtime, self, bind(args)))
}

/** There in Python; calling it is refused by name. */
const refused = (type: string, name: string): Callable =>
  new Callable(name, () => {
    throw notSupported(`the method ${type}.${name}`)
  })
