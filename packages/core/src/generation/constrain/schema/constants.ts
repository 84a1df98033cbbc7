/** Values that a schema lists, as schemas. */
import type { Schema, SchemaObject } from './source.ts'

export class Constants {
  readonly #known = new Map<string, Schema>()

  /** A schema for one value, its parts in any order and spacing. */
  schema(value: unknown): Schema {
    const key = canonical(value)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    let schema: SchemaObject
    if (Array.isArray(value)) {
      schema = { type: 'array', prefixItems: value.map((each) => this.schema(each)), items: false, minItems: value.length }
    } else if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value)
      // A null prototype: a value may have a key `__proto__`.
      const properties: Record<string, Schema> = Object.create(null)
      for (const [name, each] of entries) properties[name] = this.schema(each)
      schema = { type: 'object', properties, required: entries.map(([name]) => name), additionalProperties: false }
    } else schema = { const: value }
    this.#known.set(key, schema)
    return schema
  }
}

/** JSON with sorted keys: equal values have equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`)
    .join()}}`
}
