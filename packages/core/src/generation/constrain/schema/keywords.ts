/** Keywords by what becomes of them, and their values, checked. */
import { usageError } from '../../../errors.ts'
import { get, refusal, type SchemaObject, type SchemaSource } from './source.ts'

export const jsonTypes = ['null', 'boolean', 'number', 'string', 'array', 'object'] as const
export type JsonType = (typeof jsonTypes)[number]

/** Schemas beside these are combined first; see expand.ts. */
export const applicators = [
  '$ref',
  'allOf',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'then',
  'else',
  'dependencies',
  'dependentSchemas',
  'dependentRequired',
] as const

/** They decide which values are valid, and we do not. */
const refused: readonly string[] = [
  'contains',
  'minContains',
  'maxContains',
  'unevaluatedProperties',
  'unevaluatedItems',
  '$dynamicRef',
  '$recursiveRef',
  'extends',
  'disallow',
  'divisibleBy',
]

/** Negations that JSON schema has no keyword for. */
export const notPattern = Symbol('not pattern')
export const notEnum = Symbol('not enum')
export const notInteger = Symbol('not integer')
export interface Negations {
  readonly [notInteger]?: true
  readonly [notPattern]?: readonly string[]
  readonly [notEnum]?: readonly unknown[]
}

/** @throws unsupported error that names a keyword we do not check */
export function refuseKeywords(schema: SchemaObject, source: SchemaSource): void {
  for (const keyword of refused) {
    if (get(schema, keyword) === undefined) continue
    if (keyword.startsWith('unevaluated') && get(schema, keyword) === true) continue
    throw refusal(`${source.pointerOf(schema)}/${keyword}`, `"${keyword}"`)
  }
}

/** The types that a schema allows, and whether numbers have to be whole. */
export function typesOf(
  schema: SchemaObject,
  source: SchemaSource,
): { readonly types: ReadonlySet<JsonType>; readonly integer: boolean } {
  const type = get(schema, 'type')
  if (type === undefined) return { types: new Set(jsonTypes), integer: false }
  const list = Array.isArray(type) ? type : [type]
  const types = new Set<JsonType>()
  for (const each of list) {
    const name = each === 'integer' ? 'number' : each
    if (!jsonTypes.includes(name)) {
      throw usageError(`${source.pointerOf(schema)}/type: there is no type ${JSON.stringify(each)}`, { found: each })
    }
    types.add(name)
  }
  return { types, integer: list.includes('integer') && !list.includes('number') }
}

export function wholeNumber(schema: SchemaObject, keyword: string, source: SchemaSource): number | undefined {
  const value = get(schema, keyword)
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  throw wrong(schema, keyword, 'a whole number of at least 0', source)
}

export function number(schema: SchemaObject, keyword: string, source: SchemaSource): number | undefined {
  const value = get(schema, keyword)
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw wrong(schema, keyword, 'a number', source)
}

export function texts(schema: SchemaObject, keyword: string, source: SchemaSource): readonly string[] {
  const value = get(schema, keyword) ?? []
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value
  throw wrong(schema, keyword, 'a list of strings', source)
}

export function list(schema: SchemaObject, keyword: string, source: SchemaSource): readonly unknown[] {
  const value = get(schema, keyword) ?? []
  if (Array.isArray(value)) return value
  throw wrong(schema, keyword, 'a list', source)
}

export function map(schema: SchemaObject, keyword: string, source: SchemaSource): SchemaObject {
  const value = get(schema, keyword) ?? {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as SchemaObject
  throw wrong(schema, keyword, 'an object', source)
}

export function wrong(schema: SchemaObject, keyword: string, expected: string, source: SchemaSource) {
  const pointer = `${source.pointerOf(schema)}/${keyword}`
  return usageError(`${pointer} must be ${expected}`, { file: pointer, expected, found: get(schema, keyword) })
}
