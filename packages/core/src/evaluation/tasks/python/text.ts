/** What Python's `str` does and JavaScript's does otherwise. */
import { numericEscape } from '../../../python-escapes.ts'

/** Characters for which `str.isspace` holds, for use in a class of a regular expression. */
export const spaces = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

const leading = new RegExp(`^[${spaces}]+`)
const trailing = new RegExp(`[${spaces}]+$`)
const anySpaces = new RegExp(`[${spaces}]+`, 'g')

export const leftStrip = (text: string): string => text.replace(leading, '')
/** Without a regular expression, which would try every run of white space. */
export function rightStrip(text: string): string {
  let end = text.length
  while (end > 0 && isSpace(text[end - 1]!)) end--
  return text.slice(0, end)
}
export const strip = (text: string): string => leftStrip(rightStrip(text))

export const isSpace = (character: string | undefined): boolean => character !== undefined && trailing.test(character)

/** Code points. */
export const codePoints = (text: string): number => [...text].length

/** `len(re.split(r"\s+", text))`: the harness counts words so. */
export const wordCount = (text: string): number => text.split(anySpaces).length

export const utf8Length = (text: string): number => new TextEncoder().encode(text).length

/** `str(value)` of what JSON holds. */
export function pythonString(value: unknown): string {
  return typeof value === 'string' ? value : pythonRepr(value)
}

/** `repr(value)` of what JSON holds. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return floatText(value)
  if (typeof value === 'string') return stringRepr(value)
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`
  return `{${Object.entries(value as object)
    .map(([key, item]) => `${stringRepr(key)}: ${pythonRepr(item)}`)
    .join(', ')}}`
}

/** A log-probability as Python prints a float: always with a point or an exponent of two digits. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  return Number.isInteger(value) && Math.abs(value) < 1e16 ? `${Object.is(value, -0) ? '-0' : value}.0` : floatText(value)
}

/** Python changes to exponents at 1e16 and below 1e-4. */
function floatText(value: number): string {
  if (Number.isSafeInteger(value)) return String(value)
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
  return String(value)
}

function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\', [quote]: `\\${quote}` }
  const escaped = text.replace(/[\p{C}\p{Z}\\'"]/gu, (character) => {
    if (Object.hasOwn(named, character)) return named[character]!
    if (character === ' ' || character === "'" || character === '"') return character
    return numericEscape(character)
  })
  return `${quote}${escaped}${quote}`
}
