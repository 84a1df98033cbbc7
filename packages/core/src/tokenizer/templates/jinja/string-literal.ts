/** Escapes in a template's string literals: Python's `unicode-escape`, which jinja2 reads them with. */
import { notSupported, PythonError } from './errors.ts'

const simple: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** @throws TemplateSyntaxError for an escape that is cut short */
export function readEscapes(literal: string, line: number): string {
  if (!literal.includes('\\')) return literal
  // jinja2 first writes what is not ASCII as an escape. Behind a backslash, that makes the letters of one.
  const source = literal.replace(/\\([^\0-\x7f])/gu, (_, character: string) => `\\\\${asEscape(character).slice(1)}`)
  return source.replace(/\\([0-7]{1,3}|[xuU][0-9a-fA-F]{0,8}|N\{[^}]*\}|[\s\S])/g, (all: string, sequence: string) => {
    const letter = sequence[0]!
    if (/[0-7]/.test(letter)) return String.fromCharCode(Number.parseInt(sequence, 8))
    if (letter === 'N') throw notSupported('a character by its name (\\N{...})')
    const count = hexDigits[letter]
    if (count === undefined) return simple[letter] ?? all
    const digits = sequence.slice(1, 1 + count)
    const code = Number.parseInt(digits, 16)
    if (digits.length < count || code > 0x10ffff) {
      throw new PythonError('TemplateSyntaxError', `truncated \\${letter} escape or illegal Unicode character (line ${line})`)
    }
    if (code >= 0xd800 && code < 0xe000) throw notSupported('half a surrogate pair (\\ud800 to \\udfff)')
    return String.fromCodePoint(code) + sequence.slice(1 + count)
  })
}

function asEscape(character: string): string {
  const code = character.codePointAt(0)!.toString(16)
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`
}
