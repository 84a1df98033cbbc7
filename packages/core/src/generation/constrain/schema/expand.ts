/**
 * A schema as a list of alternatives, each a set of plain schemas that all hold: `$ref` is followed, `anyOf`, `allOf` and the
 * like are multiplied out.
 */
import { usageError } from '../../../errors.ts'
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { applicators, jsonTypes, list, map, refuseKeywords, typesOf } from './keywords.ts'
import { negate } from './negate.ts'
import { get, type Schema, type SchemaObject, type SchemaSource } from './source.ts'

/** Plain schemas that hold at once: they have no `$ref`, `anyOf` or the like. */
export type Alternative = ReadonlySet<SchemaObject>

export interface ExpandOptions {
  /** `oneOf`s whose schemas overlap: each of theirs is taken without what the others allow. */
  readonly overlapping: ReadonlySet<SchemaObject>
  /** Told of each pair of one `oneOf`, with what holds beside it. */
  readonly onPair: (owner: SchemaObject, schemas: readonly Schema[]) => void
}

export class Expander {
  readonly #source: SchemaSource
  readonly #budget: Budget
  readonly #options: ExpandOptions
  readonly #known = new Map<SchemaObject, readonly Alternative[]>()
  readonly #open = new Set<SchemaObject>()
  readonly #negated = new Map<SchemaObject, readonly Schema[]>()

  constructor(source: SchemaSource, budget: Budget, options: ExpandOptions) {
    this.#source = source
    this.#budget = budget
    this.#options = options
  }

  /** Alternatives of schemas that all hold. None: nothing is valid. */
  *all(schemas: readonly Schema[]): Pieces<readonly Alternative[]> {
    let ways: readonly Alternative[] = [new Set()]
    for (const schema of schemas) ways = yield* this.#both(ways, yield* this.#one(schema))
    return ways
  }

  *#one(schema: Schema): Pieces<readonly Alternative[]> {
    if (typeof schema === 'boolean') return schema ? [new Set()] : []
    const known = this.#known.get(schema)
    if (known) return known
    if (this.#open.has(schema) || this.#open.size > 4 * limits.depth) {
      const pointer = this.#source.pointerOf(schema)
      throw usageError(`${pointer}: the schema means itself, with no value in between`, { file: pointer })
    }
    this.#open.add(schema)
    const ways = yield* this.#expand(schema)
    this.#open.delete(schema)
    this.#known.set(schema, ways)
    return ways
  }

  *#expand(schema: SchemaObject): Pieces<readonly Alternative[]> {
    const source = this.#source
    refuseKeywords(schema, source)
    const plain = this.#plain(schema)
    let ways: readonly Alternative[] = [new Set([plain])]
    const inner = (keyword: string): readonly Schema[] =>
      list(schema, keyword, source).map((each, i) => source.inner(schema, each, keyword, i))

    if (get(schema, '$ref') !== undefined)
      ways = yield* this.#both(ways, yield* this.#one(source.resolve(get(schema, '$ref'), schema)))
    for (const each of inner('allOf')) ways = yield* this.#both(ways, yield* this.#one(each))
    for (const each of this.#dependencies(schema)) ways = yield* this.#both(ways, yield* this.#any(each))
    if (get(schema, 'not') !== undefined)
      ways = yield* this.#both(ways, yield* this.#not(source.inner(schema, get(schema, 'not'), 'not')))
    if (get(schema, 'if') !== undefined) ways = yield* this.#both(ways, yield* this.#condition(schema))
    if (get(schema, 'anyOf') !== undefined) ways = yield* this.#both(ways, yield* this.#any(inner('anyOf')))
    if (get(schema, 'oneOf') !== undefined) ways = yield* this.#both(ways, yield* this.#exactlyOne(schema, inner('oneOf'), plain))
    return ways
  }

  #plain(schema: SchemaObject): SchemaObject {
    if (!applicators.some((keyword) => get(schema, keyword) !== undefined)) return schema
    const plain: Record<string, unknown> = { ...schema }
    for (const keyword of applicators) delete plain[keyword]
    return this.#source.locate(plain, this.#source.pointerOf(schema))
  }

  *#any(schemas: readonly Schema[]): Pieces<readonly Alternative[]> {
    const ways: Alternative[] = []
    for (const each of schemas) ways.push(...(yield* this.#one(each)))
    return this.#distinct(ways)
  }

  *#not(schema: Schema): Pieces<readonly Alternative[]> {
    if (typeof schema === 'boolean') return yield* this.#one(!schema)
    let ways = this.#negated.get(schema)
    if (!ways) {
      ways = negate(schema, this.#source)
      this.#negated.set(schema, ways)
    }
    return yield* this.#any(ways)
  }

  *#condition(schema: SchemaObject): Pieces<readonly Alternative[]> {
    const part = (keyword: string): Pieces<readonly Alternative[]> => {
      const value = get(schema, keyword)
      return this.#one(value === undefined ? true : this.#source.inner(schema, value, keyword))
    }
    if (get(schema, 'then') === undefined && get(schema, 'else') === undefined) return [new Set()]
    const condition = this.#source.inner(schema, get(schema, 'if'), 'if')
    const met = yield* this.#both(yield* part('if'), yield* part('then'))
    const unmet = yield* this.#both(yield* this.#not(condition), yield* part('else'))
    return this.#distinct([...met, ...unmet])
  }

  *#exactlyOne(owner: SchemaObject, schemas: readonly Schema[], beside: SchemaObject): Pieces<readonly Alternative[]> {
    if (schemas.length === 1) return yield* this.#one(schemas[0]!)
    if (this.#options.overlapping.has(owner)) {
      const all: Alternative[] = []
      for (const [i, each] of schemas.entries()) {
        let ways = yield* this.#one(each)
        for (const [j, other] of schemas.entries()) if (i !== j) ways = yield* this.#both(ways, yield* this.#not(other))
        all.push(...ways)
      }
      return this.#distinct(all)
    }
    if (schemas.length > limits.alternatives / 4)
      throw tooMuch(`${this.#source.pointerOf(owner)}/oneOf`, 'alternatives', limits.alternatives / 4)
    for (let i = 0; i < schemas.length; i++) {
      for (let j = 0; j < i; j++) {
        if (!(yield* this.#disjoint(schemas[i]!, schemas[j]!))) this.#options.onPair(owner, [beside, schemas[j]!, schemas[i]!])
      }
    }
    return yield* this.#any(schemas)
  }

  /** Seen at a glance; false where it would take more. */
  *#disjoint(a: Schema, b: Schema): Pieces<boolean> {
    const others = yield* this.#one(b)
    for (const x of yield* this.#one(a)) {
      for (const y of others) {
        if (this.#budget.spend(x.size * y.size)) yield
        if (!this.#differ(x, y)) return false
      }
    }
    return true
  }

  #differ(a: Alternative, b: Alternative): boolean {
    return this.#types([...a, ...b]).size === 0 || this.#tagsDiffer(a, b)
  }

  /** A property that both require has another constant in each. */
  #tagsDiffer(a: Alternative, b: Alternative): boolean {
    const tags = (alternative: Alternative): Map<string, string[]> => {
      const found = new Map<string, string[]>()
      for (const schema of alternative) {
        for (const [name, inner] of Object.entries(map(schema, 'properties', this.#source))) {
          const values = get(inner, 'enum') ?? (get(inner, 'const') === undefined ? undefined : [get(inner, 'const')])
          if (Array.isArray(values))
            found.set(
              name,
              values.map((value) => JSON.stringify(value)),
            )
        }
      }
      return found
    }
    const isRequired = (alternative: Alternative, name: string): boolean =>
      [...alternative].some((schema) => list(schema, 'required', this.#source).includes(name))
    const isObject = (alternative: Alternative): boolean => {
      const types = this.#types([...alternative])
      return types.size === 1 && types.has('object')
    }
    if (!isObject(a) || !isObject(b)) return false
    const others = tags(b)
    for (const [name, values] of tags(a)) {
      const other = others.get(name)
      if (other && isRequired(a, name) && isRequired(b, name) && !values.some((value) => other.includes(value))) return true
    }
    return false
  }

  #types(schemas: readonly SchemaObject[]): ReadonlySet<string> {
    const allowed = schemas.map((schema) => typesOf(schema, this.#source).types)
    return new Set(jsonTypes.filter((type) => allowed.every((each) => each.has(type))))
  }

  /** Each is a list of schemas of which one has to hold. */
  #dependencies(schema: SchemaObject): readonly (readonly Schema[])[] {
    const source = this.#source
    return (['dependencies', 'dependentSchemas', 'dependentRequired'] as const).flatMap((keyword) =>
      Object.entries(map(schema, keyword, source)).map(([name, value]) => {
        const pointer = `${source.pointerOf(schema)}/${keyword}`
        const absent = source.locate({ properties: { [name]: false } }, pointer)
        const isList = Array.isArray(value) || (typeof value === 'string' && keyword === 'dependencies')
        const names = isList ? [name, ...(typeof value === 'string' ? [value] : (value as string[]))] : [name]
        const present = source.locate({ type: 'object', required: names }, pointer)
        if (isList) return [absent, present]
        return [absent, source.locate({ allOf: [present, source.inner(schema, value, keyword, name)] }, pointer)]
      }),
    )
  }

  *#both(a: readonly Alternative[], b: readonly Alternative[]): Pieces<readonly Alternative[]> {
    if (this.#budget.spend(a.length * b.length)) yield
    const ways: Alternative[] = []
    for (const x of a) {
      for (const y of b) {
        const way = new Set([...x, ...y])
        if (this.#budget.spend(way.size)) yield
        if (way.size < 2 || this.#types([...way]).size > 0) ways.push(way)
      }
    }
    return this.#distinct(ways)
  }

  #distinct(ways: readonly Alternative[]): readonly Alternative[] {
    const known = new Map<string, Alternative>()
    for (const way of ways)
      known.set(
        [...way]
          .map((each) => this.#source.idOf(each))
          .sort((a, b) => a - b)
          .join(),
        way,
      )
    if (known.size > limits.alternatives) throw tooMuch('a value of the schema', 'alternatives', limits.alternatives)
    return [...known.values()]
  }
}
