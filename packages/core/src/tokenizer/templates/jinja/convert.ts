/** Values that callers give a template. */
import { notSupported } from './errors.ts'
import { byPerson, byRole, Text, text, type Writer, written } from './text.ts'
import { Dict, type Value } from './values.ts'

/** Deeper than any message, far from the end of the stack. */
const maxNesting = 200

/**
 * A JSON-like value as Python's json would read it: whole numbers are int, others float. Everything else becomes a text that
 * names its type, as in transformers (`_plain_template_data`).
 *
 * @param writer who wrote its texts; null for the template's own
 */
export function toValue(value: unknown, writer: Writer | null = byPerson, depth = 0): Value {
  if (depth > maxNesting) throw notSupported(`a value nested more than ${maxNesting} deep`)
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return writer ? written(value, writer) : text(value)
  if (typeof value === 'boolean' || typeof value === 'bigint') return value
  // What JSON writes without a point is an int.
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(String(value)) : value
  if (Array.isArray(value)) return value.map((item) => toValue(item, writer, depth + 1))
  if (typeof value !== 'object' || !isPlain(value))
    return text(`<${typeof value === 'object' ? (value.constructor?.name ?? 'object') : typeof value}>`)
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return Dict.of(entries.map(([key, item]) => [writer ? written(key, writer) : text(key), toValue(item, writer, depth + 1)]))
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || value.constructor?.name === 'Object'
}

/** Messages: as other values, but templates may build tokens around their roles. */
export function toMessages(messages: unknown): Value {
  if (!Array.isArray(messages)) return toValue(messages)
  return messages.map((message) => {
    const value = toValue(message)
    const role = value instanceof Dict ? value.named('role') : undefined
    if (value instanceof Dict && role instanceof Text) value.set(text('role'), written(role.value, byRole))
    return value
  })
}
