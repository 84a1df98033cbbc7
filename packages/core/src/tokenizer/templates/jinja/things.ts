/** jinja2's own objects: namespace, loop, cycler, joiner and transformers' `dict`. */
import { equal } from './comparing.ts'
import { notSupported, PythonError, runtimeError, typeError } from './errors.ts'
import { itemsOf, iterate } from './iterate.ts'
import { reprOf } from './printing.ts'
import type { Runtime } from './runtime.ts'
import { emptyText, joinTexts, Text, text } from './text.ts'
import {
  type Arguments,
  Callable,
  Dict,
  iteratorOf,
  lengthOf,
  sequenceItems,
  Thing,
  Tuple,
  Undefined,
  type Value,
} from './values.ts'

export class Namespace extends Thing {
  readonly typeName = 'Namespace'
  readonly #attributes: Dict

  constructor(attributes: Dict) {
    super()
    for (const [key] of attributes.entries()) checkName(key)
    this.#attributes = attributes
  }

  attribute(name: string): Value | undefined {
    if (name === '__class__') return new Undefined("access to attribute '__class__' of 'Namespace' object is unsafe.", true)
    return this.#attributes.named(name)
  }

  set(name: string, value: Value): void {
    checkName(text(name))
    this.#attributes.set(text(name), value)
  }

  override repr(runtime: Runtime): Text {
    return joinTexts('<Namespace ', reprOf(runtime, this.#attributes), '>')
  }
}

function checkName(name: Value): void {
  if (name instanceof Text && name.value.startsWith('_')) {
    throw new PythonError(
      'SecurityError',
      `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name.value}'.`,
    )
  }
}

/** Python's `dict(...)`: a mapping or pairs, and named values. */
export function dictOf(runtime: Runtime, { positional, named }: Arguments): Dict {
  if (positional.length > 1) throw typeError(`dict expected at most 1 argument, got ${positional.length}`)
  const dict = new Dict()
  const [source] = positional
  if (source instanceof Dict) for (const [key, value] of source.entries()) dict.set(key, value)
  else if (source instanceof Undefined) source.fail()
  else if (source !== undefined) {
    for (const pair of iterate(runtime, source)) {
      const items = sequenceItems(pair) ?? (iteratorOf(pair) && itemsOf(runtime, pair))
      if (!items) throw typeError('cannot convert dictionary update sequence element to a sequence')
      if (items.length !== 2)
        throw new PythonError('ValueError', `dictionary update sequence element has length ${items.length}; 2 is required`)
      dict.set(items[0]!, items[1]!)
    }
  }
  for (const [key, value] of named) dict.set(text(key), value)
  runtime.budget.spend(dict.size)
  return dict
}

export class DictFunction extends Thing {
  readonly typeName = 'TemplateDict'

  attribute(name: string): Value | undefined {
    if (name !== 'fromkeys') return undefined
    return new Callable('fromkeys', (runtime, { positional, named }) => {
      if (positional.length < 1 || positional.length > 2 || named.size > 0) throw typeError('fromkeys expected 1 or 2 arguments')
      return Dict.of(itemsOf(runtime, positional[0]!).map((key) => [key, positional[1] ?? null]))
    })
  }

  override call = dictOf
}

/** The variable `self`, which has the template's blocks. */
export class TemplateReference extends Thing {
  readonly typeName = 'TemplateReference'
  readonly #blocks: readonly string[]

  constructor(blocks: readonly string[]) {
    super()
    this.#blocks = blocks
  }

  attribute(name: string): Value | undefined {
    if (this.#blocks.includes(name)) throw notSupported(`self.${name}`)
    return undefined
  }

  override repr(): Text {
    return text('<TemplateReference None>')
  }
}

export class Cycler extends Thing {
  readonly typeName = 'Cycler'
  readonly #items: readonly Value[]
  #at = 0

  constructor(items: readonly Value[]) {
    super()
    if (items.length === 0) throw runtimeError('at least one item has to be provided')
    this.#items = items
  }

  attribute(name: string): Value | undefined {
    if (name === 'current') return this.#items[this.#at]
    if (name === 'items') return new Tuple(this.#items)
    if (name === 'pos') return BigInt(this.#at)
    if (name === 'reset') {
      return new Callable('reset', () => {
        this.#at = 0
        return null
      })
    }
    if (name !== 'next') return undefined
    return new Callable('next', () => {
      const item = this.#items[this.#at]!
      this.#at = (this.#at + 1) % this.#items.length
      return item
    })
  }
}

export class Joiner extends Thing {
  readonly typeName = 'Joiner'
  readonly #separator: Value
  #used = false

  constructor(separator: Value) {
    super()
    this.#separator = separator
  }

  attribute(name: string): Value | undefined {
    return name === 'sep' ? this.#separator : name === 'used' ? this.#used : undefined
  }

  override call = (): Value => {
    const first = !this.#used
    this.#used = true
    return first ? emptyText : this.#separator
  }
}

/** The variable `loop`, and what goes through the items. It looks one item ahead only when asked. */
export class Loop extends Thing {
  readonly typeName = 'LoopContext'
  readonly #runtime: Runtime
  readonly #iterable: Value
  readonly #depth: number
  readonly #recurse: ((items: Value, depth: number) => Value) | undefined
  #iterator: Iterator<Value>
  #index = -1
  #length: number | undefined
  #ahead: { readonly done: boolean; readonly value: Value } | undefined
  #current: Value | undefined
  #before: Value | undefined
  #changed: readonly Value[] | undefined

  /** @param iterator goes through the items that the loop's own condition leaves */
  constructor(
    runtime: Runtime,
    iterable: Value,
    iterator: Iterator<Value>,
    depth: number,
    recurse?: (items: Value, depth: number) => Value,
  ) {
    super()
    this.#runtime = runtime
    this.#iterable = iterable
    this.#iterator = iterator
    this.#depth = depth
    this.#recurse = recurse
  }

  /** The next item; undefined behind the last. */
  next(): Value | undefined {
    const { done, value } = this.#peek()
    this.#ahead = undefined
    if (done) return undefined
    this.#index++
    this.#before = this.#current
    this.#current = value
    return value
  }

  #peek(): { readonly done: boolean; readonly value: Value } {
    if (!this.#ahead || this.#ahead.done) {
      const { done, value } = this.#iterator.next()
      this.#ahead = { done: done === true, value: done ? null : value }
    }
    return this.#ahead
  }

  override length = (): number => {
    if (this.#length === undefined) {
      const known = lengthOf(this.#iterable)
      if (known !== undefined) this.#length = known
      else {
        const rest: Value[] = []
        for (let next = this.#iterator.next(); !next.done; next = this.#iterator.next()) rest.push(next.value)
        this.#iterator = rest[Symbol.iterator]()
        this.#length = rest.length + this.#index + 1 + (this.#ahead && !this.#ahead.done ? 1 : 0)
      }
    }
    return this.#length
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return BigInt(this.#index + 1)
      case 'index0':
        return BigInt(this.#index)
      case 'revindex':
        return BigInt(this.length() - this.#index)
      case 'revindex0':
        return BigInt(this.length() - this.#index - 1)
      case 'first':
        return this.#index === 0
      case 'last':
        return this.#peek().done
      case 'length':
        return BigInt(this.length())
      case 'depth':
        return BigInt(this.#depth + 1)
      case 'depth0':
        return BigInt(this.#depth)
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : this.#before
      case 'nextitem':
        return this.#peek().done ? new Undefined('there is no next item') : this.#peek().value
      case 'cycle':
        return new Callable('cycle', (_, args) => this.#cycle(args))
      case 'changed':
        return new Callable('changed', (_, args) => this.#hasChanged(args))
      default:
        return undefined
    }
  }

  #cycle({ positional, named }: Arguments): Value {
    if (positional.length === 0 || named.size > 0) throw typeError('no items for cycling given')
    return positional[this.#index % positional.length]!
  }

  #hasChanged({ positional, named }: Arguments): boolean {
    if (named.size > 0) throw typeError('changed() takes no keyword arguments')
    const same = this.#changed !== undefined && equal(this.#runtime, new Tuple(this.#changed), new Tuple(positional))
    if (!same) this.#changed = positional
    return !same
  }

  override call = (_: Runtime, { positional, named }: Arguments): Value => {
    if (!this.#recurse) throw typeError("The loop must have the 'recursive' marker to be called recursively.")
    if (positional.length !== 1 || named.size > 0) throw typeError('loop() takes one argument')
    return this.#recurse(positional[0]!, this.#depth + 1)
  }

  override iterate = (): Iterator<Value> => {
    throw notSupported('going through the variable loop')
  }

  override repr(): Text {
    return text(`<LoopContext ${this.#index + 1}/${this.length()}>`)
  }
}
