/**
 * From a JSON schema to the kinds of values that the machine runs. A node stands for the values for which a set of schemas holds
 * at once; nodes are made as they are named, so recursive schemas end. What has no value at all is found last, and left out.
 */
import { type ByteAutomaton, spell } from '../automata/byte-automaton.ts'
import { type CharacterAutomaton, product, textsAutomaton } from '../automata/character-automaton.ts'
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { Constants, canonical } from './constants.ts'
import { type Alternative, Expander } from './expand.ts'
import { type JsonType, jsonTypes, list, type Negations, notEnum, typesOf, wholeNumber } from './keywords.ts'
import { boundsOf, fits, Numbers } from './numbers.ts'
import { draftObject, finishObject, type ObjectDraft } from './objects.ts'
import { SharedKeys } from './shared-keys.ts'
import { get, refusal, type Schema, type SchemaObject, SchemaSource } from './source.ts'
import { type StringSpec, Strings } from './strings.ts'
import {
  type ArraySpec,
  type ObjectSpec,
  shortestArray,
  shortestObject,
  shortestString,
  type ValueNode,
  type Values,
} from './values.ts'

interface NodeDraft {
  readonly scalars: ByteAutomaton[]
  readonly strings: StringSpec[]
  readonly objects: ObjectDraft[]
  readonly arrays: Omit<ArraySpec, 'id'>[]
}

/**
 * @throws unsupported error that names what is not supported and where it stands; usage error for what is no schema, or has no
 * value
 */
export function* compileSchema(schema: unknown, budget: Budget): Pieces<Values> {
  const source = new SchemaSource(schema)
  const overlapping = new Set<SchemaObject>()
  for (;;) {
    const before = overlapping.size
    const compiler = new Compiler(source, budget, overlapping)
    const values = yield* compiler.run()
    if (values && overlapping.size === before) return values
  }
}

class Compiler {
  readonly #source: SchemaSource
  readonly #budget: Budget
  readonly #overlapping: Set<SchemaObject>
  readonly #expander: Expander
  readonly #strings: Strings
  readonly #numbers: Numbers
  readonly #ids = new Map<string, number>()
  readonly #waiting: (readonly Schema[])[] = []
  readonly #drafts: NodeDraft[] = []
  readonly #pairs: { readonly owner: SchemaObject; readonly schemas: readonly Schema[] }[] = []
  readonly #constants = new Constants()
  readonly #literals = new Map<string, ByteAutomaton>()
  readonly #keys = new SharedKeys()

  constructor(source: SchemaSource, budget: Budget, overlapping: Set<SchemaObject>) {
    this.#source = source
    this.#budget = budget
    this.#overlapping = overlapping
    this.#expander = new Expander(source, budget, {
      overlapping,
      onPair: (owner, schemas) => this.#pairs.push({ owner, schemas }),
    })
    this.#strings = new Strings(source, budget)
    this.#numbers = new Numbers(budget)
  }

  /** Undefined: schemas of a `oneOf` overlap, which was not known. */
  *run(): Pieces<Values | undefined> {
    const root = this.#nodeOf([this.#source.root])
    const pairs: { owner: SchemaObject; node: number }[] = []
    let seen = 0
    for (let at = 0; at < this.#waiting.length; at++) {
      this.#drafts.push(yield* this.#draft(this.#waiting[at]!))
      for (; seen < this.#pairs.length; seen++) {
        const { owner, schemas } = this.#pairs[seen]!
        pairs.push({ owner, node: this.#nodeOf(schemas) })
      }
    }
    const shortest = yield* this.#shortest()
    const overlaps = pairs.filter(({ node }) => node >= 0 && shortest[node]! < Infinity)
    if (overlaps.length > 0) {
      for (const { owner } of overlaps) this.#overlapping.add(owner)
      return undefined
    }
    if (root < 0 || shortest[root] === Infinity) throw refusal('#', 'a schema that no value of bounded size satisfies')
    return { nodes: yield* this.#finish(shortest), root, shortest }
  }

  #nodeOf(schemas: readonly Schema[]): number {
    if (schemas.includes(false)) return -1
    const objects = [...new Set(schemas.filter((each) => typeof each === 'object'))]
    const key = objects
      .map((each) => this.#source.idOf(each))
      .sort((a, b) => a - b)
      .join()
    let id = this.#ids.get(key)
    if (id === undefined) {
      id = this.#waiting.push(objects) - 1
      if (id >= limits.nodes) throw tooMuch('the schema', 'kinds of values', limits.nodes)
      this.#ids.set(key, id)
    }
    return id
  }

  *#draft(schemas: readonly Schema[]): Pieces<NodeDraft> {
    const draft: NodeDraft = { scalars: [], strings: [], objects: [], arrays: [] }
    for (const alternative of yield* this.#expander.all(schemas)) yield* this.#add(alternative, draft)
    return draft
  }

  *#add(alternative: Alternative, draft: NodeDraft): Pieces<void> {
    const schemas = [...alternative]
    if (this.#budget.spend(10 + schemas.length)) yield
    const allowed = schemas.map((schema) => typesOf(schema, this.#source).types)
    const types = new Set(jsonTypes.filter((type) => allowed.every((each) => each.has(type))))
    const values = this.#listed(schemas)
    if (values) yield* this.#addListed(values, schemas, types, draft)
    else yield* this.#addTypes(schemas, types, draft)
  }

  /** The values of `enum` and `const`, by their JSON. Undefined: there is neither. */
  #listed(schemas: readonly SchemaObject[]): ReadonlyMap<string, unknown> | undefined {
    let found: Map<string, unknown> | undefined
    for (const schema of schemas) {
      for (const keyword of ['enum', 'const']) {
        if (get(schema, keyword) === undefined) continue
        const values = keyword === 'const' ? [get(schema, keyword)] : list(schema, keyword, this.#source)
        this.#budget.count(values.length)
        const mine = new Map(values.map((value) => [canonical(value), value]))
        const before: Map<string, unknown> | undefined = found
        found = before ? new Map([...mine].filter(([key]) => before.has(key))) : mine
      }
    }
    return found
  }

  *#addListed(
    values: ReadonlyMap<string, unknown>,
    schemas: readonly SchemaObject[],
    types: ReadonlySet<JsonType>,
    draft: NodeDraft,
  ): Pieces<void> {
    const excluded = new Set(schemas.flatMap((schema) => ((schema as Negations)[notEnum] ?? []).map(canonical)))
    const kept = [...values].filter(([key]) => !excluded.has(key)).map(([, value]) => value)
    const rest = schemas.map((schema) => this.#without(schema))
    const texts = kept.filter((value) => typeof value === 'string')
    if (texts.length > 0 && types.has('string')) {
      const spec = yield* this.#strings.spec(rest, texts)
      if (spec) draft.strings.push(spec)
    }
    const numbers = kept.filter((value) => typeof value === 'number')
    const bounds = numbers.length > 0 && types.has('number') ? boundsOf(rest, this.#source) : undefined
    const literals = kept.filter(
      (value) =>
        (value === null && types.has('null')) ||
        (typeof value === 'boolean' && types.has('boolean')) ||
        (typeof value === 'number' && bounds && fits(value, bounds)),
    )
    if (literals.length > 0) draft.scalars.push(yield* this.#literal(literals.map((value) => JSON.stringify(value))))
    for (const value of kept) {
      if (typeof value !== 'object' || value === null) continue
      const type = Array.isArray(value) ? 'array' : 'object'
      if (types.has(type)) yield* this.#addTypes([...rest, this.#constants.schema(value) as SchemaObject], new Set([type]), draft)
    }
  }

  readonly #bare = new Map<SchemaObject, SchemaObject>()

  /** A schema without its list of values. */
  #without(schema: SchemaObject): SchemaObject {
    if (get(schema, 'enum') === undefined && get(schema, 'const') === undefined) return schema
    const known = this.#bare.get(schema)
    if (known) return known
    const { enum: _, const: __, ...rest } = schema
    this.#bare.set(schema, this.#source.locate(rest, this.#source.pointerOf(schema)))
    return rest
  }

  *#literal(texts: readonly string[]): Pieces<ByteAutomaton> {
    const key = JSON.stringify(texts)
    let automaton = this.#literals.get(key)
    if (!automaton) {
      const { labels, ...rest } = yield* textsAutomaton(texts, this.#budget)
      automaton = yield* spell({ ...rest, labels: labels.map((label) => Math.min(label, 0)) }, 'a list of values', this.#budget)
      this.#literals.set(key, automaton)
    }
    return automaton
  }

  *#addTypes(schemas: readonly SchemaObject[], types: ReadonlySet<JsonType>, draft: NodeDraft): Pieces<void> {
    const excluded = schemas.flatMap((schema) => (schema as Negations)[notEnum] ?? [])
    const literals = [...(types.has('null') ? [null] : []), ...(types.has('boolean') ? [true, false] : [])].filter(
      (value) => !excluded.includes(value),
    )
    if (literals.length > 0) draft.scalars.push(yield* this.#literal(literals.map((value) => JSON.stringify(value))))
    if (types.has('number')) {
      const where = schemas[0] ? this.#source.pointerOf(schemas[0]) : '#'
      const automaton = yield* this.#numbers.automaton(boundsOf(schemas, this.#source), where)
      if (automaton) draft.scalars.push(automaton)
    }
    if (types.has('string')) {
      const spec = yield* this.#strings.spec(schemas)
      if (spec) draft.strings.push(spec)
    }
    for (const value of excluded) {
      const type = Array.isArray(value) ? 'array' : 'object'
      if (typeof value === 'object' && value !== null && types.has(type))
        throw refusal(schemas[0] ? this.#source.pointerOf(schemas[0]) : '#', `the opposite of a list of values with parts`)
    }
    if (types.has('object')) {
      const tools = {
        source: this.#source,
        budget: this.#budget,
        strings: this.#strings,
        nodeOf: (each: readonly Schema[]) => this.#nodeOf(each),
        namesOf: (each: readonly Schema[]) => this.#namesOf(each),
      }
      draft.objects.push(yield* draftObject(schemas, tools))
    }
    if (types.has('array')) draft.arrays.push(this.#array(schemas))
  }

  *#namesOf(schemas: readonly Schema[]): Pieces<CharacterAutomaton> {
    const ways: CharacterAutomaton[] = []
    for (const alternative of yield* this.#expander.all(schemas)) {
      const each = [...alternative]
      if (!each.every((schema) => typesOf(schema, this.#source).types.has('string'))) continue
      const values = this.#listed(each)
      const texts = values && [...values.values()].filter((value) => typeof value === 'string')
      const bare = each.map((schema) => this.#without(schema))
      ways.push(yield* this.#strings.names(bare, texts))
    }
    if (ways.length === 0) return yield* textsAutomaton([], this.#budget)
    return yield* product(ways, { label: (labels) => Math.max(...labels) }, 'propertyNames', this.#budget)
  }

  #array(schemas: readonly SchemaObject[]): Omit<ArraySpec, 'id'> {
    const source = this.#source
    let min = 0
    let max = Infinity
    const parts = schemas.map((schema) => {
      min = Math.max(min, wholeNumber(schema, 'minItems', source) ?? 0)
      max = Math.min(max, wholeNumber(schema, 'maxItems', source) ?? Infinity)
      const items = get(schema, 'items')
      // Up to draft 2019-09, a list of schemas stands under `items`, and what follows under `additionalItems`.
      const old = Array.isArray(items)
      const keyword = old ? 'items' : 'prefixItems'
      const first = list(schema, keyword, source).map((each, i) => source.inner(schema, each, keyword, i))
      const others = old ? get(schema, 'additionalItems') : items
      return { first, rest: others === undefined ? true : source.inner(schema, others, old ? 'additionalItems' : 'items') }
    })
    for (const schema of schemas) {
      if (get(schema, 'uniqueItems') === true && max > 1)
        throw refusal(`${source.pointerOf(schema)}/uniqueItems`, '"uniqueItems"')
    }
    const length = Math.min(max, Math.max(0, ...parts.map(({ first }) => first.length)))
    const first = Array.from({ length }, (_, i) => this.#nodeOf(parts.map(({ first, rest }) => first[i] ?? rest)))
    return { first, rest: this.#nodeOf(parts.map(({ rest }) => rest)), min, max }
  }

  /** [nodes]: bytes of the shortest value. Values of values are longer, so going round until nothing changes finds them. */
  *#shortest(): Pieces<Float64Array> {
    const shortest = new Float64Array(this.#drafts.length).fill(Infinity)
    const of = (node: number): number => (node < 0 ? Infinity : shortest[node]!)
    for (let changed = true; changed; ) {
      changed = false
      for (const [node, draft] of this.#drafts.entries()) {
        if (this.#budget.spend(stepsOf(draft))) yield
        const ways = [
          ...draft.scalars.map((automaton) => automaton.bytes[0]!),
          ...draft.strings.map(shortestString),
          ...draft.objects.map((object) => shortestDraft(object, of, this.#budget)),
          ...draft.arrays.map((array) => shortestArray(array, shortest)),
        ]
        const best = Math.min(...ways, Infinity)
        if (best >= shortest[node]!) continue
        shortest[node] = best
        changed = true
      }
    }
    return shortest
  }

  *#finish(shortest: Float64Array): Pieces<ValueNode[]> {
    let objectCount = 0
    let arrayCount = 0
    const reached = this.#reached(shortest)
    const finished: ValueNode[] = []
    for (const [node, draft] of this.#drafts.entries()) {
      if (this.#budget.pass(stepsOf(draft))) yield
      const isReached = reached.has(node)
      const objects: ObjectSpec[] = []
      for (const each of isReached ? draft.objects : []) {
        const object = yield* finishObject(each, shortest, objectCount++, this.#budget, this.#keys)
        if (object) objects.push(object)
      }
      const arrays = (isReached ? draft.arrays : []).flatMap((each) => {
        const array = finishArray(each, shortest)
        return array ? [{ ...array, id: arrayCount++ }] : []
      })
      finished.push({
        scalars: ascending(new Set(isReached ? draft.scalars : []), ({ bytes }) => bytes[0]!),
        strings: ascending(new Set(isReached ? draft.strings : []), shortestString),
        objects: ascending(objects, (object) => shortestObject(object, shortest)),
        arrays: ascending(arrays, (array) => shortestArray(array, shortest)),
      })
    }
    return finished
  }

  /** Nodes that the root's values have. Others were made to see whether schemas overlap. */
  #reached(shortest: Float64Array): ReadonlySet<number> {
    const reached = new Set([0])
    for (const node of reached) {
      const { objects, arrays } = this.#drafts[node]!
      const all = [...objects.flatMap(({ nodes }) => nodes), ...arrays.flatMap(({ first, rest }) => [...first, rest])]
      for (const each of all) if (each >= 0 && shortest[each]! < Infinity) reached.add(each)
    }
    return reached
  }
}

/** What going over a node once takes. */
const stepsOf = ({ objects, arrays }: NodeDraft): number =>
  objects.reduce((sum, { required }) => sum + 1 + required.size, 1) +
  arrays.reduce((sum, { first, min }) => sum + 1 + Math.min(first.length, min), 0)

/** Sorted by a number, which is worked out once for each. */
const ascending = <T>(items: Iterable<T>, by: (item: T) => number): T[] =>
  Array.from(items, (item) => ({ item, size: by(item) }))
    .sort((a, b) => a.size - b.size)
    .map(({ item }) => item)

function shortestDraft({ names, nodes, required, min }: ObjectDraft, of: (node: number) => number, budget: Budget): number {
  let bytes = 2
  for (const index of required) bytes += of(nodes[index]!) + JSON.stringify(names[index]).length + 2
  if (min <= required.size || bytes === Infinity) return bytes
  budget.count(nodes.length)
  const others = nodes
    .map((node, i) =>
      required.has(i) ? Infinity : of(node) + (names[i] === undefined ? 3 : JSON.stringify(names[i]).length + 2),
    )
    .sort((a, b) => a - b)
  for (let i = 0; i < min - required.size; i++) bytes += others[Math.min(i, others.length - 1)] ?? Infinity
  return bytes
}

function finishArray(draft: Omit<ArraySpec, 'id'>, shortest: Float64Array): Omit<ArraySpec, 'id'> | undefined {
  const has = (node: number): boolean => node >= 0 && shortest[node]! < Infinity
  const missing = draft.first.findIndex((node) => !has(node))
  let max = draft.max
  if (missing >= 0) max = Math.min(max, missing)
  if (!has(draft.rest)) max = Math.min(max, draft.first.length)
  return draft.min > max ? undefined : { ...draft, max }
}
