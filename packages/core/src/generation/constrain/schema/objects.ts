/** Objects of an alternative: their properties, and an automaton that tells their keys apart. */

import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import {
  type CharacterAutomaton,
  labelOf,
  product,
  pruned,
  textsAutomaton,
  universal,
  withoutHalves,
} from '../automata/character-automaton.ts'
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { map, texts, wholeNumber } from './keywords.ts'
import type { SharedKeys } from './shared-keys.ts'
import { get, refusal, type Schema, type SchemaObject, type SchemaSource } from './source.ts'
import { anyString, type Strings } from './strings.ts'
import type { ObjectSpec } from './values.ts'

/** An object whose values' nodes are numbered, but not known to have values. */
export interface ObjectDraft {
  readonly names: readonly string[]
  readonly nodes: readonly number[]
  readonly keys: CharacterAutomaton
  readonly required: ReadonlySet<number>
  readonly min: number
  readonly max: number
  readonly where: string
}

export interface ObjectTools {
  readonly source: SchemaSource
  readonly budget: Budget
  readonly strings: Strings
  /** The node of values for which all the schemas hold; -1 where one is `false`. */
  readonly nodeOf: (schemas: readonly Schema[]) => number
  /** What names of properties have to be. */
  readonly namesOf: (schemas: readonly Schema[]) => Pieces<CharacterAutomaton>
}

export function* draftObject(
  schemas: readonly SchemaObject[],
  { source, budget, strings, nodeOf, namesOf }: ObjectTools,
): Pieces<ObjectDraft> {
  const where = schemas.length > 0 ? source.pointerOf(schemas[0]!) : '#'
  const names = new Set<string>()
  const patterns = new Set<string>()
  let min = 0
  let max = Infinity
  for (const schema of schemas) {
    for (const name of Object.keys(map(schema, 'properties', source))) names.add(name)
    for (const pattern of Object.keys(map(schema, 'patternProperties', source))) patterns.add(pattern)
    min = Math.max(min, wholeNumber(schema, 'minProperties', source) ?? 0)
    max = Math.min(max, wholeNumber(schema, 'maxProperties', source) ?? Infinity)
  }
  const required = schemas.flatMap((schema) => texts(schema, 'required', source))
  for (const name of required) names.add(name)
  if (names.size + patterns.size > limits.keys) throw tooMuch(where, 'names of properties', limits.keys)
  const nameList = [...names]
  const patternList = [...patterns].slice(0, 30)
  if (patterns.size > 30) throw tooMuch(`${where}/patternProperties`, 'patterns', 30)
  const matchers: CharacterAutomaton[] = []
  for (const pattern of patternList) matchers.push(yield* strings.pattern(pattern, `${where}/patternProperties`))

  /** Schemas for the value of a key, by its name and the patterns that it matches. */
  const schemasFor = (name: string | undefined, matches: (pattern: string) => boolean): readonly Schema[] =>
    schemas.flatMap((schema) => {
      const found: Schema[] = []
      const properties = map(schema, 'properties', source)
      const own = name === undefined ? undefined : get(properties, name)
      if (own !== undefined) found.push(source.inner(schema, own, 'properties', name!))
      for (const [pattern, value] of Object.entries(map(schema, 'patternProperties', source))) {
        if (matches(pattern)) found.push(source.inner(schema, value, 'patternProperties', pattern))
      }
      const others = get(schema, 'additionalProperties')
      if (found.length === 0 && others !== undefined) found.push(source.inner(schema, others, 'additionalProperties'))
      return found
    })

  const nodes: number[] = []
  for (const name of nameList) {
    if (budget.spend(schemas.length)) yield
    nodes.push(nodeOf(schemasFor(name, (pattern) => labelOf(matchers[patternList.indexOf(pattern)]!, name) >= 0)))
  }
  const restricted = schemas.flatMap((schema) =>
    get(schema, 'propertyNames') === undefined ? [] : [source.inner(schema, get(schema, 'propertyNames'), 'propertyNames')],
  )
  // A key that has no name and matches no pattern, where it may be anything.
  const open = schemas.every((schema) => get(schema, 'additionalProperties') !== false)
  const free = new Map<number, number>()
  const freeLabel = (matched: number): number => {
    let label = free.get(matched)
    if (label === undefined) {
      label = nodes.push(nodeOf(schemasFor(undefined, (pattern) => ((matched >> patternList.indexOf(pattern)) & 1) === 1))) - 1
      free.set(matched, label)
    }
    return label
  }
  const automata = [yield* textsAutomaton(nameList, budget), ...matchers, ...(open ? [universal] : [])]
  let keys: CharacterAutomaton
  if (nameList.length === 0 && matchers.length === 0 && open) {
    freeLabel(0)
    keys = universal
  } else {
    const label = (labels: readonly number[]): number => {
      if (labels[0]! >= 0) return labels[0]!
      let matched = 0
      matchers.forEach((_, i) => {
        if (labels[1 + i]! >= 0) matched |= 1 << i
      })
      if (matched === 0 && !open) return -1
      return freeLabel(matched)
    }
    keys = yield* product(automata, { label }, where, budget)
  }
  if (restricted.length > 0) {
    const all = yield* namesOf(restricted)
    keys = yield* product([keys, all], { all: true, label: ([a, b]) => (b! >= 0 ? a! : -1) }, where, budget)
  }
  const named = new Set(required.map((name) => nameList.indexOf(name)))
  if (min > 1 && min > named.size && free.size > 0)
    throw refusal(`${where}/minProperties`, 'minProperties above 1 beside keys without a name')
  return { names: nameList, nodes, keys, required: named, min, max, where }
}

/** Leaves out what has no values. Undefined: there is no such object. */
export function* finishObject(
  draft: ObjectDraft,
  shortest: Float64Array,
  id: number,
  budget: Budget,
  shared: SharedKeys,
): Pieces<ObjectSpec | undefined> {
  const { names, nodes, required, max } = draft
  const isAllowed = (label: number): boolean => nodes[label]! >= 0 && shortest[nodes[label]!]! < Infinity
  const labels = draft.keys.labels.map((label) => (label >= 0 && isAllowed(label) ? label : -1))
  const characters = yield* withoutHalves(yield* pruned({ ...draft.keys, labels }, budget), budget)
  const present = new Set(characters.labels)
  for (const index of required) if (!present.has(index)) return undefined
  const width = Math.max(1, Math.ceil(names.length / 32))
  const allowed = new Uint32Array(width)
  names.forEach((_, i) => {
    if (present.has(i)) allowed[i >> 5]! |= 1 << (i & 31)
  })
  const needed = new Uint32Array(width)
  for (const index of required) needed[index >> 5]! |= 1 << (index & 31)
  const hasFree = [...present].some((label) => label >= names.length)
  const count = [...present].filter((label) => label >= 0 && label < names.length).length
  if (draft.min > max || required.size > max || (!hasFree && count < draft.min)) return undefined
  const isAny =
    characters.labels.length === 1 && characters.breaks.length === 1 && characters.labels[0] === 0 && names.length === 0
  const keys = isAny ? anyString() : yield* shared.spelled(characters, draft.where, budget)
  return {
    id,
    names,
    nodes,
    keys,
    ...(yield* reachOf(keys, names.length, width, budget)),
    required: needed,
    allowed,
    hasFree,
    min: draft.min,
    max,
  }
}

/** Which labels can be reached from each state of an automaton of keys. */
function* reachOf(
  { next, labels, classes }: ByteAutomaton,
  names: number,
  width: number,
  budget: Budget,
): Pieces<Pick<ObjectSpec, 'reach' | 'reachesFree'>> {
  const count = labels.length
  const reach = new Uint32Array(count * width)
  const reachesFree = new Uint8Array(count)
  const into: number[][] = Array.from({ length: count }, () => [])
  for (let s = 0; s < count; s++) {
    if (budget.pass(classes)) yield
    for (const to of new Set(next.subarray(s * classes, (s + 1) * classes))) if (to >= 0) into[to]!.push(s)
    const label = labels[s]!
    if (label >= names) reachesFree[s] = 1
    else if (label >= 0) reach[s * width + (label >> 5)]! |= 1 << (label & 31)
  }
  const queue = [...labels.keys()].filter((s) => labels[s]! >= 0)
  const queued = new Uint8Array(count)
  for (const s of queue) {
    queued[s] = 0
    if (budget.spend(width)) yield
    for (const source of into[s]!) {
      let changed = reachesFree[s]! > reachesFree[source]!
      if (changed) reachesFree[source] = 1
      for (let w = 0; w < width; w++) {
        const more = (reach[source * width + w]! | reach[s * width + w]!) >>> 0
        if (more === reach[source * width + w]) continue
        reach[source * width + w] = more
        changed = true
      }
      if (!changed || queued[source]) continue
      queued[source] = 1
      queue.push(source)
    }
  }
  return { reach, reachesFree }
}
