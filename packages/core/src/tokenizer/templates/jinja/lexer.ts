/** Cuts a template into tokens, as jinja2/lexer.py does. In linear time. */
import { PythonError } from './errors.ts'
import { isSpace, whitespace } from './numbers.ts'
import { readEscapes } from './string-literal.ts'

export type TokenType =
  | 'data'
  | 'variable begin'
  | 'variable end'
  | 'block begin'
  | 'block end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'end'

export interface Token {
  readonly type: TokenType
  readonly value: string
  readonly line: number
}

export const syntaxError = (message: string, line: number) => new PythonError('TemplateSyntaxError', `${message} (line ${line})`)

const sticky = (source: string, flags = '') => new RegExp(source, `y${flags}`)
const rawBegin = sticky(`\\{%[-+]?[${whitespace}]*raw[${whitespace}]*(-?)%\\}`)
const rawEnd = sticky(`\\{%([-+]?)[${whitespace}]*endraw[${whitespace}]*([-+]?)%\\}`)
const space = sticky(`[${whitespace}]+`)
const float = sticky(
  '(?<!\\.)[0-9]+(?:_[0-9]+)*(?:(?:\\.[0-9]+(?:_[0-9]+)*)?e[+-]?[0-9]+(?:_[0-9]+)*|\\.[0-9]+(?:_[0-9]+)*)',
  'i',
)
const integer = sticky('0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[0-9a-f])+|[1-9](?:_?[0-9])*|0(?:_?0)*', 'i')
const name = sticky('[\\p{L}\\p{N}\\p{M}\\p{Pc}\\p{ID_Continue}]+', 'u')
const string = sticky(`'[^'\\\\]*(?:\\\\.[^'\\\\]*)*'|"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"`, 's')
const operator = sticky('//|\\*\\*|==|!=|>=|<=|[-+/*%~[\\](){}><=.:|,;]')

const closers: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }

/** How white space around tags counts. */
export interface LexerOptions {
  /** jinja2's `trim_blocks` and `lstrip_blocks`: white space before a block and the line feed behind it are no text. */
  readonly trimBlocks: boolean
  /** jinja2's `keep_trailing_newline`. */
  readonly keepTrailingNewline: boolean
}

/** As transformers reads chat templates. */
export const chatLexer: LexerOptions = { trimBlocks: true, keepTrailingNewline: false }

export function tokenize(template: string, { trimBlocks, keepTrailingNewline }: LexerOptions = chatLexer): Token[] {
  const lines = template.replace(/\r\n|\r/g, '\n')
  const source = keepTrailingNewline ? lines : lines.replace(/\n$/, '')
  const tokens: Token[] = []
  let at = 0
  let line = 1
  let atLineStart = true

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    return pattern.exec(source)
  }
  /** Moves on to `end`, counting lines. */
  const moveTo = (end: number): void => {
    for (let i = at; i < end; i++) if (source.charCodeAt(i) === 10) line++
    at = end
    atLineStart = end > 0 && source[end - 1] === '\n'
  }
  const skipSpace = (from: number): number => {
    let end = from
    while (end < source.length && isSpace(source[end]!)) end++
    return end
  }
  /** Where a tag is over whose closing brackets end at `end`: `-` takes white space along, a block the line feed behind it. */
  const afterTag = (end: number, sign: string, isBlock: boolean): number => {
    if (sign === '-') return skipSpace(end)
    return trimBlocks && isBlock && sign === '' && source[end] === '\n' ? end + 1 : end
  }
  /** Text before a tag, without the white space that the tag's sign or `lstrip_blocks` takes away. */
  const data = (end: number, sign: string, isVariable: boolean): void => {
    let stop = end
    if (sign === '-') while (stop > at && isSpace(source[stop - 1]!)) stop--
    else if (trimBlocks && sign === '' && !isVariable) {
      let start = end
      while (start > at && source[start - 1] !== '\n' && isSpace(source[start - 1]!)) start--
      if (start < end && (start === at ? atLineStart : source[start - 1] === '\n')) stop = start
    }
    if (stop > at) tokens.push({ type: 'data', value: source.slice(at, stop), line })
  }

  const comment = (): void => {
    const close = source.indexOf('#}', at)
    if (close < 0) throw syntaxError('Missing end of comment tag', line)
    const sign = close > at && /[-+]/.test(source[close - 1]!) ? source[close - 1]! : ''
    moveTo(afterTag(close + 2, sign, true))
  }

  const raw = (): void => {
    for (let open = source.indexOf('{%', at); open >= 0; open = source.indexOf('{%', open + 2)) {
      rawEnd.lastIndex = open
      const end = rawEnd.exec(source)
      if (!end) continue
      data(open, end[1]!, false)
      moveTo(afterTag(open + end[0].length, end[2]!, true))
      return
    }
    throw syntaxError('Missing end of raw directive', line)
  }

  const tag = (isBlock: boolean): void => {
    const brackets: string[] = []
    const close = isBlock ? '%}' : '}}'
    while (true) {
      if (at >= source.length) return
      if (brackets.length === 0) {
        const sign = source[at] === '-' || (isBlock && source[at] === '+') ? source[at]! : ''
        if (source.startsWith(close, at + sign.length)) {
          tokens.push({ type: isBlock ? 'block end' : 'variable end', value: close, line })
          moveTo(afterTag(at + sign.length + 2, sign, isBlock))
          return
        }
      }
      const found = match(space)
      if (found) {
        moveTo(at + found[0].length)
        continue
      }
      at = token(brackets)
    }
  }

  const token = (brackets: string[]): number => {
    const add = (type: TokenType, value: string, length: number): number => {
      tokens.push({ type, value, line })
      return at + length
    }
    const number = match(float)
    if (number) return add('float', number[0].replaceAll('_', ''), number[0].length)
    const whole = match(integer)
    if (whole) return add('integer', whole[0].replaceAll('_', '').toLowerCase(), whole[0].length)
    const word = match(name)
    if (word) {
      if (!/^[\p{ID_Start}_]/u.test(word[0])) throw syntaxError('Invalid character in identifier', line)
      return add('name', word[0], word[0].length)
    }
    const literal = match(string)
    if (literal) {
      const end = add('string', readEscapes(literal[0].slice(1, -1), line), literal[0].length)
      moveTo(end)
      return end
    }
    const sign = match(operator)?.[0]
    if (sign === undefined) throw syntaxError(`unexpected char '${String.fromCodePoint(source.codePointAt(at)!)}' at ${at}`, line)
    if (closers[sign]) brackets.push(closers[sign])
    else if (/[)\]}]/.test(sign)) {
      const expected = brackets.pop()
      if (expected !== sign) throw syntaxError(`unexpected '${sign}'${expected ? `, expected '${expected}'` : ''}`, line)
    }
    return add('operator', sign, sign.length)
  }

  const openings = /\{[%{#]/g
  while (at < source.length) {
    openings.lastIndex = at
    const open = openings.exec(source)
    if (!open) {
      tokens.push({ type: 'data', value: source.slice(at), line })
      break
    }
    const { index } = open
    const kind = open[0]
    const sign = /[-+]/.test(source[index + 2] ?? '') ? source[index + 2]! : ''
    data(index, sign, kind === '{{')
    moveTo(index)
    const isRaw = kind === '{%' ? match(rawBegin) : null
    if (isRaw) {
      const end = index + isRaw[0].length
      moveTo(isRaw[1] === '-' ? skipSpace(end) : end)
      raw()
      continue
    }
    moveTo(index + 2 + sign.length)
    if (kind === '{#') comment()
    else {
      tokens.push({ type: kind === '{%' ? 'block begin' : 'variable begin', value: kind, line })
      tag(kind === '{%')
    }
  }
  tokens.push({ type: 'end', value: '', line })
  return tokens
}
