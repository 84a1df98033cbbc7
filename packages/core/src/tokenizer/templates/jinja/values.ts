/**
 * Python's values while a template runs: none is null, bool is boolean, int is bigint, float is number, str is `Text`, a list
 * is an array; the others are the classes below.
 */
import { templateLimit } from '../budget.ts'
import { PythonError, typeError } from './errors.ts'
import type { Runtime } from './runtime.ts'
import { Text } from './text.ts'

export type Value =
  | null
  | boolean
  | bigint
  | number
  | Text
  | readonly Value[]
  | Tuple
  | Dict
  | Undefined
  | Range
  | View
  | Iter
  | Callable
  | Thing

export class Tuple {
  readonly items: readonly Value[]
  /** Names of the items, for a named tuple. */
  readonly fields: readonly string[]

  constructor(items: readonly Value[], fields: readonly string[] = []) {
    this.items = items
    this.fields = fields
  }
}

/** In the order of insertion; keys are compared as Python does (1, 1.0 and True are one key). */
export class Dict {
  readonly #entries = new Map<unknown, readonly [Value, Value]>()

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict()
    for (const [key, value] of entries) dict.set(key, value)
    return dict
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1]
  }

  has(key: Value): boolean {
    return this.#entries.has(hashOf(key))
  }

  /** Look-up by a text that is at hand as a string. */
  named(key: string): Value | undefined {
    return this.#entries.get(hashOfString(key))?.[1]
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key)
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value])
  }

  entries(): IterableIterator<readonly [Value, Value]> {
    return this.#entries.values()
  }
}

/** What a name, attribute or element is that is not there. It prints as nothing; most else that is done with it fails. */
export class Undefined {
  readonly message: string
  readonly isUnsafe: boolean

  constructor(message: string, isUnsafe = false) {
    this.message = message
    this.isUnsafe = isUnsafe
  }

  fail(): never {
    throw new PythonError(this.isUnsafe ? 'SecurityError' : 'UndefinedError', this.message)
  }
}

export class Range {
  readonly start: bigint
  readonly stop: bigint
  readonly step: bigint
  readonly length: number

  constructor(start: bigint, stop: bigint, step: bigint) {
    this.start = start
    this.stop = stop
    this.step = step
    const distance = step > 0n ? stop - start : start - stop
    const size = step > 0n ? step : -step
    this.length = distance <= 0n ? 0 : Number((distance + size - 1n) / size)
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step
  }
}

/** `dict.keys()`, `dict.values()` or `dict.items()`. */
export class View {
  readonly dict: Dict
  readonly kind: 'keys' | 'values' | 'items'

  constructor(dict: Dict, kind: 'keys' | 'values' | 'items') {
    this.dict = dict
    this.kind = kind
  }

  *items(): Generator<Value> {
    for (const [key, value] of this.dict.entries()) {
      yield this.kind === 'keys' ? key : this.kind === 'values' ? value : new Tuple([key, value])
    }
  }
}

/** A generator or other iterator: can be gone through once. */
export class Iter {
  readonly typeName: string
  readonly iterator: Iterator<Value>

  constructor(iterator: Iterator<Value>, typeName = 'generator') {
    this.iterator = iterator
    this.typeName = typeName
  }
}

export interface Arguments {
  readonly positional: readonly Value[]
  readonly named: ReadonlyMap<string, Value>
}

export const noArguments: Arguments = { positional: [], named: new Map() }

/** A function, method, macro or filter. */
export class Callable {
  readonly name: string
  readonly call: (runtime: Runtime, args: Arguments) => Value
  /** What it prints as; undefined for those that print their address. */
  readonly repr: string | undefined
  readonly attributes: Readonly<Record<string, Value>>

  constructor(
    name: string,
    call: (runtime: Runtime, args: Arguments) => Value,
    repr?: string,
    attributes: Readonly<Record<string, Value>> = {},
  ) {
    this.name = name
    this.call = call
    this.repr = repr
    this.attributes = attributes
  }
}

/** An object of jinja2's own: a namespace, a loop, a cycler. */
export abstract class Thing {
  abstract readonly typeName: string
  /** Undefined where there is no such attribute. */
  abstract attribute(name: string): Value | undefined
  /** What it prints as; undefined for those that print their address. */
  repr(_runtime: Runtime): Text | undefined {
    return undefined
  }
  /** As a function, where it is one. */
  declare call?: (runtime: Runtime, args: Arguments) => Value
  /** `len()` of it, where it has one. */
  declare length?: () => number
  declare iterate?: () => Iterator<Value>
}

/** What a dict compares keys by. */
export function hashOf(key: Value): unknown {
  if (key instanceof Text) return hashOfString(key.value)
  if (typeof key === 'boolean') return BigInt(key)
  if (typeof key === 'number') return Number.isInteger(key) ? BigInt(key) : key
  const isView = key instanceof View && key.kind !== 'values'
  if (Array.isArray(key) || key instanceof Dict || isView) throw typeError(`unhashable type: '${typeName(key)}'`)
  if (key instanceof Undefined) return '\0undefined'
  if (key instanceof Tuple) return hashOfTuple(key)
  if (key instanceof Range) return `\0range ${key.length} ${key.length > 0 ? key.start : ''} ${key.length > 1 ? key.step : ''}`
  return key
}

/** More is no key but an attack: tuples that hold others twice over double it every time. */
const maxHashChars = 1 << 20

function hashOfTuple({ items }: Tuple): string {
  const hash = `\0(${items.map((item) => hashText(hashOf(item))).join(',')})`
  if (hash.length > maxHashChars) throw templateLimit(`a key in it has ${hash.length} characters; the limit is ${maxHashChars}`)
  return hash
}

/** Texts that begin like the hash of something else get a prefix of their own. */
const hashOfString = (value: string): string => (value.startsWith('\0') ? `\0text${value}` : value)

const hashText = (hash: unknown): string => {
  if (typeof hash === 'object' && hash !== null) return `object ${objectNumber(hash)}`
  return typeof hash === 'string' ? JSON.stringify(hash) : String(hash)
}

const objectNumbers = new WeakMap<object, number>()
let objects = 0
function objectNumber(object: object): number {
  const known = objectNumbers.get(object)
  if (known !== undefined) return known
  objectNumbers.set(object, ++objects)
  return objects
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'float'
  if (value instanceof Text) return value.markup ? 'Markup' : 'str'
  if (Array.isArray(value)) return 'list'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Dict) return 'dict'
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Range) return 'range'
  if (value instanceof View) return `dict_${value.kind}`
  if (value instanceof Callable) return 'function'
  return (value as Iter | Thing).typeName
}

export const isList = (value: Value): value is readonly Value[] => Array.isArray(value)

/** Items of a list or tuple. */
export const sequenceItems = (value: Value): readonly Value[] | undefined =>
  isList(value) ? value : value instanceof Tuple ? value.items : undefined

/** An int or bool as a bigint. */
export const integerOf = (value: Value): bigint | undefined =>
  typeof value === 'bigint' ? value : typeof value === 'boolean' ? BigInt(value) : undefined

export const isNumber = (value: Value): value is bigint | number | boolean =>
  typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean'

/** Python's `len`. Undefined where the value has none. */
export function lengthOf(value: Value): number | undefined {
  if (value instanceof Text || value instanceof Range) return value.length
  if (isList(value)) return value.length
  if (value instanceof Tuple) return value.items.length
  if (value instanceof Dict) return value.size
  if (value instanceof View) return value.dict.size
  if (value instanceof Undefined) return 0
  return value instanceof Thing ? value.length?.() : undefined
}

export function truthy(value: Value): boolean {
  if (value === null || typeof value === 'boolean') return value === true
  if (typeof value === 'bigint') return value !== 0n
  if (typeof value === 'number') return value !== 0
  if (value instanceof Text) return value.value !== ''
  return lengthOf(value) !== 0
}

/** Python's `iter`. Undefined where the value cannot be gone through. */
export function iteratorOf(value: Value): Iterator<Value> | undefined {
  if (value instanceof Text) return value.characters()
  const items = sequenceItems(value)
  if (items) return items[Symbol.iterator]()
  if (value instanceof Dict) return new View(value, 'keys').items()
  if (value instanceof View) return value.items()
  if (value instanceof Range) return rangeItems(value)
  if (value instanceof Iter) return value.iterator
  if (value instanceof Undefined) return [][Symbol.iterator]()
  return value instanceof Thing ? value.iterate?.() : undefined
}

function* rangeItems(range: Range): Generator<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i)
}
