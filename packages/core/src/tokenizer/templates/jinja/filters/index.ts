/** jinja2's filters by name (jinja2/filters.py), with transformers' own `tojson`. */
import { notSupported, PythonError, runtimeError } from '../errors.ts'
import { iterate } from '../iterate.ts'
import type { Runtime } from '../runtime.ts'
import { signature } from '../signature.ts'
import { callTest } from '../tests.ts'
import { Text } from '../text.ts'
import { type Arguments, Iter, truthy, typeName, type Value } from '../values.ts'
import { attributeGetter, type FreeFilter } from './filter.ts'
import { numberFilters } from './numbers.ts'
import { regexReplace } from './regex-replace.ts'
import { sequenceFilters } from './sequences.ts'
import { textFilters } from './text.ts'

/** They are there in jinja2, and refused by name where they run. */
const refusedFilters = ['pprint', 'random', 'striptags', 'urlize', 'wordwrap']

const aliases: Readonly<Record<string, string>> = { d: 'default', e: 'escape' }

/** `map('upper')`, `map(attribute='name', default='x')`. */
const map: FreeFilter = (runtime, args) => new Iter(mapped(runtime, args))

function* mapped(runtime: Runtime, { positional: [items, name, ...more], named }: Arguments): Generator<Value> {
  if (items === undefined || !truthy(items)) return
  let change: (item: Value) => Value
  if (name === undefined && named.has('attribute')) {
    const extra = [...named.keys()].find((key) => key !== 'attribute' && key !== 'default')
    if (extra) throw new PythonError('TypeError', `Unexpected keyword argument '${extra}'`)
    const get = attributeGetter(named.get('attribute')!, named.get('default') ?? null)
    change = (item) => get(runtime, item)
  } else {
    if (name === undefined) throw new PythonError('TypeError', 'map requires a filter argument')
    change = (item) => callFilter(runtime, nameOf(name), { positional: [item, ...more], named })
  }
  for (const item of iterate(runtime, items)) yield change(item)
}

const nameOf = (name: Value): string => {
  if (name instanceof Text) return name.value
  throw runtimeError(`No filter or test of type ${typeName(name)}`)
}

/** `select('odd')`, `rejectattr('role', 'equalto', 'user')`. */
const selecting =
  (keeps: boolean, byAttribute: boolean): FreeFilter =>
  (runtime, args) =>
    new Iter(selected(runtime, args, keeps, byAttribute))

function* selected(
  runtime: Runtime,
  { positional: [items, ...rest], named }: Arguments,
  keeps: boolean,
  byAttribute: boolean,
): Generator<Value> {
  if (items === undefined || !truthy(items)) return
  if (byAttribute && rest.length === 0) throw new PythonError('TypeError', 'Missing parameter for attribute name')
  const get = attributeGetter(byAttribute ? rest.shift()! : null)
  const [test, ...more] = rest
  for (const item of iterate(runtime, items)) {
    const value = get(runtime, item)
    const holds =
      test === undefined
        ? truthy(value)
        : truthy(callTest(runtime, nameOf(test), { positional: [value, ...more], named }, isFilter))
    if (holds === keeps) yield item
  }
}

const filters: ReadonlyMap<string, FreeFilter> = new Map(
  Object.entries({ ...textFilters, ...numberFilters, ...sequenceFilters }).map(([name, filter]): [string, FreeFilter] => {
    if (typeof filter === 'function') return [name, filter]
    const bind = signature(name, filter.parameters)
    return [name, (runtime, args) => filter.run(runtime, bind(args))]
  }),
)

const freeFilters: Readonly<Record<string, FreeFilter>> = {
  map,
  select: selecting(true, false),
  reject: selecting(false, false),
  selectattr: selecting(true, true),
  rejectattr: selecting(false, true),
}

export function isFilter(name: string): boolean {
  return filters.has(name) || Object.hasOwn(freeFilters, name) || Object.hasOwn(aliases, name) || refusedFilters.includes(name)
}

export function callFilter(runtime: Runtime, name: string, args: Arguments): Value {
  if (refusedFilters.includes(name)) throw notSupported(`the filter ${name}`)
  const own = Object.hasOwn(aliases, name) ? aliases[name]! : name
  const given = own === 'regex_replace' && runtime.regexReplace ? regexReplace : undefined
  const filter = given ?? (Object.hasOwn(freeFilters, own) ? freeFilters[own] : filters.get(own))
  if (!filter) throw runtimeError(`No filter named '${name}' found.`)
  runtime.budget.spend(1)
  return filter(runtime, args)
}
