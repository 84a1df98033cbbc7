/** Escapes in a template's string literals: Python's `unicode-escape`, which jinja2 reads them with. */
import { numericEscape, simpleEscapes } from '../../../python-escapes.ts'
import { notSupported, PythonError } from './errors.ts'

const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** @throws TemplateSyntaxError for an escape that is cut short */
export function readEscapes(literal: string, line: number): string {
  if (!literal.includes('\\')) return literal
  // jinja2 first writes what is not ASCII as an escape. Behind a backslash, that makes the letters of one.
  const source = literal.replace(/\\([^\0-\x7f])/gu, (_, character: string) => `\\\\${numericEscape(character).slice(1)}`)
  return source.replace(/\\([0-7]{1,3}|[xuU][0-9a-fA-F]{0,8}|N\{[^}]*\}|[\s\S])/g, (all: string, sequence: string) => {
    const letter = sequence[0]!
    if (/[0-7]/.test(letter)) return String.fromCharCode(Number.parseInt(sequence, 8))
    if (letter === 'N') throw notSupported('a character by its name (\\N{...})')
    const count = hexDigits[letter]
    if (count === undefined) return simpleEscapes[letter] ?? all
    const digits = sequence.slice(1, 1 + count)
    const code = Number.parseInt(digits, 16)
    if (digits.length < count || code > 0x10ffff) {
      throw new PythonError('TemplateSyntaxError', `truncated \\${letter} escape or illegal Unicode character (line ${line})`)
    }
    if (code >= 0xd800 && code < 0xe000) throw notSupported('half a surrogate pair (\\ud800 to \\udfff)')
    return String.fromCodePoint(code) + sequence.slice(1 + count)
  })
}
