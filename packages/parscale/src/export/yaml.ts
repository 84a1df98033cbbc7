/** YAML front matter of a model card: maps, lists and scalars, every string quoted, so that no text can be taken for syntax. */

export type Yaml = string | number | boolean | null | readonly Yaml[] | { readonly [key: string]: Yaml | undefined }

/** Block style, a line per scalar, ending with a newline. Keys whose value is undefined are left out. */
export function yaml(value: { readonly [key: string]: Yaml | undefined }): string {
  return entries(value, '').join('')
}

function entries(value: { readonly [key: string]: Yaml | undefined }, indent: string): string[] {
  return Object.entries(value).flatMap(([key, item]) =>
    item === undefined ? [] : [`${indent}${name(key)}:${block(item, indent)}`],
  )
}

/** What stands behind `key:` or `-`, with the line's end. */
function block(value: Yaml, indent: string): string {
  if (typeof value !== 'object' || value === null) return ` ${scalar(value)}\n`
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    return value.length === 0 ? ' []\n' : `\n${value.map((item) => `${inner}-${block(item, inner)}`).join('')}`
  }
  const lines = entries(value as { readonly [key: string]: Yaml }, inner)
  return lines.length === 0 ? ' {}\n' : `\n${lines.join('')}`
}

const name = (key: string): string => (/^[a-z][a-z_-]*$/.test(key) ? key : quoted(key))

const scalar = (value: string | number | boolean | null): string => (typeof value === 'string' ? quoted(value) : number(value))

/** JSON has no infinities; what YAML calls them. */
const number = (value: number | boolean | null): string =>
  typeof value === 'number' && !Number.isFinite(value)
    ? Number.isNaN(value)
      ? '.nan'
      : `${value < 0 ? '-' : ''}.inf`
    : JSON.stringify(value)

/** A JSON string is a double-quoted YAML scalar, but for characters that YAML breaks lines at or does not print. */
function quoted(text: string): string {
  const json = JSON.stringify(text.replace(/\p{Surrogate}/gu, '\ufffd'))
  return json.replace(
    /[\p{Cc}\u2028\u2029\ufeff\ufffe\uffff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
