/**
 * ECMAScript's regular expressions, read by code points (as with the `u` flag, but as lenient with escapes as without it).
 * What is no regular language or needs to look around (`(?=`, `\b`, `\1`) is refused by name.
 */
import { unsupportedError, usageError } from '../../../errors.ts'
import { limits, tooMuch } from '../limits.ts'
import { complement, type Ranges, union } from './ranges.ts'
import type { Regex } from './regex-tree.ts'

const digit: Ranges = [0x30, 0x39]
const word: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]
const space: Ranges = union(
  [9, 13, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680],
  [0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff],
)
const lineEnds: Ranges = [10, 10, 13, 13, 0x2028, 0x2029]
const classes: Readonly<Record<string, Ranges>> = {
  d: digit,
  D: complement(digit),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
}
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 }

/**
 * @param where names the pattern in errors
 * @throws usage error for a pattern with faults; unsupported error that names what cannot be run
 */
export function parseRegex(source: string, where: string): Regex {
  if (source.length > limits.patternCharacters) throw tooMuch(where, 'characters of a pattern', limits.patternCharacters)
  const parser = new Parser(source, where)
  return parser.all()
}

class Parser {
  readonly #characters: readonly string[]
  readonly #where: string
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string, where: string) {
    this.#source = source
    this.#characters = Array.from(source)
    this.#where = where
  }

  all(): Regex {
    const tree = this.#choice()
    if (this.#at < this.#characters.length) this.#fault(`an unmatched "${this.#characters[this.#at]}"`)
    return tree
  }

  #fault(what: string): never {
    throw usageError(`${this.#where}: the pattern ${shown(this.#source)} has ${what}`, { found: this.#source })
  }

  #refuse(what: string): never {
    throw unsupportedError(`${this.#where}: the pattern ${shown(this.#source)} uses ${what}, which is not supported`, {
      found: what,
    })
  }

  get #next(): string | undefined {
    return this.#characters[this.#at]
  }

  #take(expected: string): boolean {
    for (let i = 0; i < expected.length; i++) if (this.#characters[this.#at + i] !== expected[i]) return false
    this.#at += expected.length
    return true
  }

  #choice(): Regex {
    if (++this.#depth > limits.depth) throw tooMuch(this.#where, 'groups in groups of a pattern', limits.depth)
    const items = [this.#sequence()]
    while (this.#take('|')) items.push(this.#sequence())
    this.#depth--
    return items.length === 1 ? items[0]! : { type: 'choice', items }
  }

  #sequence(): Regex {
    const items: Regex[] = []
    while (this.#next !== undefined && this.#next !== '|' && this.#next !== ')') items.push(this.#quantified())
    return items.length === 1 ? items[0]! : { type: 'sequence', items }
  }

  #quantified(): Regex {
    const item = this.#atom()
    const bounds = this.#quantifier()
    if (!bounds) return item
    this.#take('?') // which match is preferred makes no difference to the set of texts
    const [min, max] = bounds
    if (min > max) this.#fault(`a quantifier whose bounds are the wrong way round`)
    if (min > limits.patternStates || (max < Infinity && max > limits.patternStates))
      throw tooMuch(this.#where, 'repetitions in a pattern', limits.patternStates)
    if (item.type === 'start' || item.type === 'end') this.#refuse(`a quantifier behind ${item.type === 'start' ? '^' : '$'}`)
    if (this.#quantifier()) this.#fault('a quantifier behind a quantifier')
    return { type: 'repeat', item, min, max }
  }

  #quantifier(): readonly [number, number] | undefined {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    const braces = /^\{(\d+)(,(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 40).join(''))
    if (!braces) return undefined
    this.#at += braces[0].length
    const min = Number(braces[1])
    return [min, braces[2] === undefined ? min : braces[3] === '' ? Infinity : Number(braces[3])]
  }

  #atom(): Regex {
    if (this.#take('^')) return { type: 'start' }
    if (this.#take('$')) return { type: 'end' }
    if (this.#take('.')) return { type: 'set', ranges: complement(lineEnds) }
    if (this.#take('[')) return { type: 'set', ranges: this.#class() }
    if (this.#take('(')) return this.#group()
    if (this.#next === '*' || this.#next === '+' || this.#next === '?') this.#fault(`a "${this.#next}" with nothing to repeat`)
    if (this.#take('\\')) {
      if (this.#next === 'b' || this.#next === 'B') this.#refuse(`\\${this.#next}`)
      if (/[1-9k]/.test(this.#next ?? '')) this.#refuse('a backreference')
      return { type: 'set', ranges: this.#escape() }
    }
    const code = this.#characters[this.#at++]!.codePointAt(0)!
    return { type: 'set', ranges: [code, code] }
  }

  #group(): Regex {
    if (this.#take('?')) {
      const named = /^<[\p{ID_Start}$_][\p{ID_Continue}$_]*>/u.exec(this.#characters.slice(this.#at, this.#at + 100).join(''))
      if (named) this.#at += named[0].length
      else if (!this.#take(':')) this.#refuse(`(?${this.#next ?? ''}${this.#next === '<' ? this.#characters[this.#at + 1] : ''}`)
    }
    const tree = this.#choice()
    if (!this.#take(')')) this.#fault('a group that is not closed')
    return tree
  }

  /** Behind a backslash. */
  #escape(): Ranges {
    const letter = this.#characters[this.#at++]
    if (letter === undefined) this.#fault('a backslash at its end')
    const known = classes[letter]
    if (known && Object.hasOwn(classes, letter)) return known
    if (letter === 'p' || letter === 'P') this.#refuse(`\\${letter}{..}`)
    const code = this.#escapedCode(letter)
    return [code, code]
  }

  #escapedCode(letter: string): number {
    if (Object.hasOwn(controls, letter)) return controls[letter]!
    if (letter === '0') return 0
    if (letter === 'c' && /[A-Za-z]/.test(this.#next ?? '')) return this.#characters[this.#at++]!.charCodeAt(0) % 32
    if (letter === 'x') return this.#hex(/^[0-9A-Fa-f]{2}/) ?? letter.codePointAt(0)!
    if (letter === 'u') {
      const code = this.#hex(/^\{([0-9A-Fa-f]{1,6})\}/) ?? this.#hex(/^[0-9A-Fa-f]{4}/)
      if (code === undefined) return letter.codePointAt(0)!
      if (code > 0x10ffff) this.#fault('a code point beyond U+10FFFF')
      if (code >= 0xd800 && code < 0xdc00 && this.#take('\\u')) {
        const low = this.#hex(/^[Dd][C-Fc-f][0-9A-Fa-f]{2}/)
        if (low === undefined) this.#refuse('half of a surrogate pair')
        return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
      }
      return code
    }
    return letter.codePointAt(0)!
  }

  #hex(form: RegExp): number | undefined {
    const found = form.exec(this.#characters.slice(this.#at, this.#at + 8).join(''))
    if (!found) return undefined
    this.#at += found[0].length
    return Number.parseInt(found[1] ?? found[0], 16)
  }

  #class(): Ranges {
    const negate = this.#take('^')
    const parts: Ranges[] = []
    while (!this.#take(']')) {
      const low = this.#classAtom()
      if (this.#next !== '-' || this.#characters[this.#at + 1] === ']') {
        parts.push(low)
        continue
      }
      this.#at++
      const high = this.#classAtom()
      if (isOne(low) && isOne(high)) {
        if (low[0]! > high[0]!) this.#fault('a range whose ends are the wrong way round')
        parts.push([low[0]!, high[0]!])
      } else parts.push(low, [0x2d, 0x2d], high) // `[\w-.]`: the dash stands for itself
    }
    const ranges = union(...parts)
    return negate ? complement(ranges) : ranges
  }

  #classAtom(): Ranges {
    if (this.#next === undefined) this.#fault('a class that is not closed')
    if (this.#take('\\')) {
      if (this.#take('b')) return [8, 8]
      if (this.#take('-')) return [0x2d, 0x2d]
      return this.#escape()
    }
    const code = this.#characters[this.#at++]!.codePointAt(0)!
    return [code, code]
  }
}

const isOne = (ranges: Ranges): boolean => ranges.length === 2 && ranges[0] === ranges[1]
const shown = (source: string): string => JSON.stringify(source.length > 100 ? `${source.slice(0, 100)}…` : source)
