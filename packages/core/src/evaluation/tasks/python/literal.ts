/** Python's `ast.literal_eval` of what templates print: texts, numbers, lists, tuples, dicts, None, True and False. */
import { simpleEscapes } from '../../../python-escapes.ts'

/** Tuples come back as lists, dicts as objects with their keys as text. @throws Error for what is no literal */
export function literal(source: string): unknown {
  const reader = new Reader(source)
  const value = reader.value()
  reader.end()
  return value
}

/** Deeper than any choice. */
const maxDepth = 64

class Reader {
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string) {
    // literal_eval takes white space in front away.
    this.#source = source.replace(/^[ \t]+/, '')
  }

  end(): void {
    this.#skip()
    if (this.#at < this.#source.length) this.#fail()
  }

  value(): unknown {
    this.#skip()
    const sign = this.#source[this.#at]
    if (sign === '[') return this.#list(']')
    if (sign === '(') return this.#tuple()
    if (sign === '{') return this.#dict()
    if (sign === "'" || sign === '"' || this.#match(/[rRuU](?=['"])/y, true)) return this.#texts()
    const number = this.#match(/[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y)
    if (number !== undefined) {
      if (/^[+-]?0\d*[1-9]\d*$/.test(number)) throw new Error(`leading zeros in ${number} are not permitted`)
      return Number(number.replaceAll('_', ''))
    }
    const word = this.#match(/None|True|False/y)
    if (word !== undefined) return word === 'None' ? null : word === 'True'
    return this.#fail()
  }

  #list(close: string): unknown[] {
    const items: unknown[] = []
    this.#at++
    if (++this.#depth > maxDepth) this.#fail()
    for (;;) {
      this.#skip()
      if (this.#take(close)) break
      items.push(this.value())
      this.#skip()
      if (this.#take(close)) break
      if (!this.#take(',')) this.#fail()
    }
    this.#depth--
    return items
  }

  #tuple(): unknown {
    const from = this.#at
    const items = this.#list(')')
    // One value in brackets without a comma is the value itself.
    return items.length === 1 && !/,\s*\)$/.test(this.#source.slice(from, this.#at)) ? items[0] : items
  }

  #dict(): Record<string, unknown> {
    const dict: [string, unknown][] = []
    this.#at++
    if (++this.#depth > maxDepth) this.#fail()
    for (;;) {
      this.#skip()
      if (this.#take('}')) break
      const key = this.value()
      this.#skip()
      if (!this.#take(':')) this.#fail()
      dict.push([String(key), this.value()])
      this.#skip()
      if (this.#take('}')) break
      if (!this.#take(',')) this.#fail()
    }
    this.#depth--
    return Object.fromEntries(dict)
  }

  /** Texts that stand beside each other are one. */
  #texts(): string {
    let text = ''
    for (;;) {
      const isRaw = this.#match(/[rRuU](?=['"])/y)?.toLowerCase() === 'r'
      text += this.#text(isRaw)
      this.#skip()
      if (!/^(?:[rRuU]?['"])/.test(this.#source.slice(this.#at, this.#at + 2))) return text
    }
  }

  #text(isRaw: boolean): string {
    const long = this.#match(/'''|"""/y)
    const quote = long ?? this.#source[this.#at++]!
    let text = ''
    while (!this.#source.startsWith(quote, this.#at)) {
      const character = this.#source[this.#at++]
      if (character === undefined || (character === '\n' && !long)) return this.#fail()
      if (character !== '\\') text += character
      else if (isRaw) text += `\\${this.#source[this.#at++] ?? ''}`
      else text += this.#escape()
    }
    this.#at += quote.length
    return text
  }

  #escape(): string {
    const octal = this.#match(/[0-7]{1,3}/y)
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
    const hex = this.#match(/x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}/y)
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex.slice(1), 16))
    const letter = this.#source[this.#at++] ?? ''
    if (/[xuUN]/.test(letter)) this.#fail()
    return simpleEscapes[letter] ?? `\\${letter}`
  }

  #match(pattern: RegExp, peek = false): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)?.[0]
    if (found !== undefined && !peek) this.#at += found.length
    return found
  }

  #take(sign: string): boolean {
    if (this.#source[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #skip(): void {
    this.#match(/\s*/y)
  }

  #fail(): never {
    throw new Error(`not a list, text or number of Python at character ${this.#at + 1}: ${this.#source.slice(0, 80)}`)
  }
}
