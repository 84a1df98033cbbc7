/** A schema as it came: what stands where, and what `$ref` means. */
import { unsupportedError, usageError } from '../../../errors.ts'
import { limits, tooMuch } from '../limits.ts'

export interface SchemaObject {
  readonly [keyword: string]: unknown
}
export type Schema = boolean | SchemaObject

export class SchemaSource {
  readonly #root: Schema
  readonly #pointers = new Map<object, string>()
  readonly #ids = new Map<object, number>()
  readonly #anchors = new Map<string, SchemaObject>()
  readonly #rootNames: readonly string[]

  /** @throws usage error for what is no schema; unsupported error for one that is too large */
  constructor(root: unknown) {
    checkSize(root)
    this.#root = asSchema(root, '#')
    if (typeof this.#root === 'object') this.#pointers.set(this.#root, '#')
    const own = [get(this.#root, '$id'), get(this.#root, 'id')].filter((id) => typeof id === 'string')
    this.#rootNames = own.map((id) => id.replace(/#$/, ''))
    this.#findAnchors(root)
  }

  get root(): Schema {
    return this.#root
  }

  /** A number of its own for each schema. */
  idOf(schema: SchemaObject): number {
    let id = this.#ids.get(schema)
    if (id === undefined) {
      id = this.#ids.size
      this.#ids.set(schema, id)
    }
    return id
  }

  /** Where a schema stands, as a JSON pointer. */
  pointerOf(schema: Schema): string {
    return (typeof schema === 'object' && this.#pointers.get(schema)) || '#'
  }

  /** A schema inside another one. @param path keywords on the way, for its pointer */
  inner(parent: SchemaObject, value: unknown, ...path: (string | number)[]): Schema {
    const pointer = `${this.pointerOf(parent)}/${path.map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`
    const schema = asSchema(value, pointer)
    if (typeof schema === 'object' && !this.#pointers.has(schema)) this.#pointers.set(schema, pointer)
    return schema
  }

  /** Says of a schema that was made up where what it stands for is. */
  locate<T extends Schema>(made: T, pointer: string): T {
    if (typeof made === 'object') this.#pointers.set(made, pointer)
    return made
  }

  /** @throws unsupported error for a reference out of the document; usage error for one to nothing */
  resolve(ref: unknown, from: SchemaObject): Schema {
    const where = `${this.pointerOf(from)}/$ref`
    if (typeof ref !== 'string') throw usageError(`${where} must be a string, found ${typeof ref}`, { found: ref })
    const [base = '', fragment = ''] = ref.split('#')
    if (base !== '' && !this.#rootNames.includes(base))
      throw refusal(where, `a reference to another document (${JSON.stringify(ref.slice(0, 100))})`)
    if (fragment !== '' && !fragment.startsWith('/')) {
      const found = this.#anchors.get(fragment)
      if (!found) throw usageError(`${where}: there is no anchor "${fragment}"`, { found: ref })
      return found
    }
    let value: unknown = this.#root
    const pointer = fragment
      .split('/')
      .slice(1)
      .map((part) => decode(part).replaceAll('~1', '/').replaceAll('~0', '~'))
    for (const part of pointer) value = get(value, part)
    if (value === undefined)
      throw usageError(`${where}: there is nothing at ${JSON.stringify(ref.slice(0, 100))}`, { found: ref })
    const schema = asSchema(value, ref)
    if (typeof schema === 'object' && !this.#pointers.has(schema)) this.#pointers.set(schema, `#${fragment}`)
    return schema
  }

  #findAnchors(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    const names = [
      get(value, '$anchor'),
      ...['$id', 'id'].map((key) => get(value, key)).filter((id) => typeof id === 'string' && id.startsWith('#')),
    ]
    for (const name of names) if (typeof name === 'string') this.#anchors.set(name.replace(/^#/, ''), value as SchemaObject)
    for (const each of Object.values(value)) this.#findAnchors(each)
  }
}

/** An own property, of arrays too. */
export function get(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as SchemaObject)[key] : undefined
}

export const refusal = (pointer: string, what: string) =>
  unsupportedError(`${pointer}: ${what} is not supported`, { file: pointer, found: what })

function asSchema(value: unknown, pointer: string): Schema {
  if (typeof value === 'boolean') return value
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as SchemaObject
  throw usageError(
    `${pointer}: a schema must be an object or a boolean, found ${value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value}`,
    {
      file: pointer,
      found: value,
    },
  )
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Bounds what everything later may recurse into. */
function checkSize(root: unknown): void {
  let characters = 0
  const visit = (value: unknown, depth: number): void => {
    if (depth > limits.depth) throw tooMuch('the schema', 'levels of nesting', limits.depth)
    characters += typeof value === 'string' ? value.length + 2 : 4
    if (typeof value === 'string') checkText(value)
    if (characters > limits.schemaCharacters) throw tooMuch('the schema', 'characters', limits.schemaCharacters)
    if (typeof value !== 'object' || value === null) return
    for (const [key, each] of Object.entries(value)) {
      characters += key.length
      checkText(key)
      visit(each, depth + 1)
    }
  }
  visit(root, 0)
}

/** Half of a surrogate pair stands for nothing that bytes can say, so that no text of ours could hold it. */
function checkText(text: string): void {
  if (/\p{Surrogate}/u.test(text))
    throw unsupportedError(
      `the schema has ${JSON.stringify(text.slice(0, 100))}, half of a surrogate pair, which is not supported`,
      { found: text },
    )
}
