/** Schemas for what a schema does not allow: `not`, `if` and overlapping `oneOf` need them. */
import { applicators, jsonTypes, list, map, type Negations, notEnum, notInteger, notPattern, texts, typesOf } from './keywords.ts'
import { get, refusal, type Schema, type SchemaObject, type SchemaSource } from './source.ts'

/** Whatever holds of values of one type only says nothing of others. */
const only = (type: string, more: object): SchemaObject => ({ type, ...more })

const flipped: Readonly<Record<string, (value: number, schema: SchemaObject) => SchemaObject | undefined>> = {
  minLength: (n) => (n > 0 ? only('string', { maxLength: n - 1 }) : undefined),
  maxLength: (n) => only('string', { minLength: n + 1 }),
  minItems: (n) => (n > 0 ? only('array', { maxItems: n - 1 }) : undefined),
  maxItems: (n) => only('array', { minItems: n + 1 }),
  minProperties: (n) => (n > 0 ? only('object', { maxProperties: n - 1 }) : undefined),
  maxProperties: (n) => only('object', { minProperties: n + 1 }),
  minimum: (n, schema) => only('number', get(schema, 'exclusiveMinimum') === true ? { maximum: n } : { exclusiveMaximum: n }),
  maximum: (n, schema) => only('number', get(schema, 'exclusiveMaximum') === true ? { minimum: n } : { exclusiveMinimum: n }),
  exclusiveMinimum: (n) => only('number', { maximum: n }),
  exclusiveMaximum: (n) => only('number', { minimum: n }),
}

/** Keywords that decide nothing here, whatever they say. */
const silent = new Set([
  'definitions',
  '$defs',
  'title',
  'description',
  'default',
  'examples',
  '$schema',
  '$id',
  'id',
  '$comment',
  'then',
  'else',
])
const decided = new Set([
  'additionalProperties',
  'patternProperties',
  'items',
  'prefixItems',
  'additionalItems',
  'propertyNames',
  'uniqueItems',
  'format',
  'multipleOf',
  'contains',
  'oneOf',
  'if',
  'dependencies',
  'dependentSchemas',
  'dependentRequired',
])

/**
 * Any value is valid by exactly one of: the schema, or some of these.
 *
 * @throws unsupported error that names the keyword whose opposite we cannot say
 */
export function negate(schema: Schema, source: SchemaSource): readonly Schema[] {
  if (typeof schema === 'boolean') return schema ? [] : [true]
  const pointer = source.pointerOf(schema)
  const ways: Schema[] = []
  const add = (way: Schema): void => {
    ways.push(source.locate(way, pointer))
  }
  for (const [keyword, value] of Object.entries(schema)) {
    if (silent.has(keyword)) continue
    if (decided.has(keyword)) throw refusal(`${pointer}/${keyword}`, `the opposite of "${keyword}"`)
    if (Object.hasOwn(flipped, keyword) && typeof value === 'number') {
      const way = flipped[keyword]!(value, schema)
      if (way) add(way)
    } else if (keyword === 'type') {
      const { types, integer } = typesOf(schema, source)
      if (integer) add({ type: 'number', [notInteger]: true } as object as SchemaObject)
      add({ type: jsonTypes.filter((type) => !types.has(type)) })
    } else if (keyword === 'const') add({ [notEnum]: [value] } as object as SchemaObject)
    else if (keyword === 'enum') add({ [notEnum]: list(schema, 'enum', source) } as object as SchemaObject)
    else if (keyword === 'pattern') add({ type: 'string', [notPattern]: [String(value)] } as object as SchemaObject)
    else if (keyword === 'required') {
      for (const name of texts(schema, 'required', source)) add(only('object', { properties: { [name]: false } }))
    } else if (keyword === 'properties') {
      for (const [name, inner] of Object.entries(map(schema, 'properties', source))) {
        const child = source.inner(schema, inner, 'properties', name)
        if (child !== true)
          add(only('object', { required: [name], properties: { [name]: source.locate({ not: child }, pointer) } }))
      }
    } else if (keyword === 'not') add(source.inner(schema, value, 'not'))
    else if (keyword === '$ref') add({ not: source.resolve(value, schema) })
    else if (keyword === 'allOf') {
      list(schema, 'allOf', source).forEach((each, i) => {
        add({ not: source.inner(schema, each, 'allOf', i) })
      })
    } else if (keyword === 'anyOf') {
      add({
        allOf: list(schema, 'anyOf', source).map((each, i) =>
          source.locate({ not: source.inner(schema, each, 'anyOf', i) }, pointer),
        ),
      })
    } else if ((applicators as readonly string[]).includes(keyword))
      throw refusal(`${pointer}/${keyword}`, `the opposite of "${keyword}"`)
  }
  const made = schema as Negations
  if (made[notInteger]) add({ type: 'integer' })
  if (made[notEnum]) add({ enum: made[notEnum] })
  for (const pattern of made[notPattern] ?? []) add({ type: 'string', pattern })
  return ways
}
