/**
 * Python's regular expressions (`re`, texts) as JavaScript's: what means another thing here is written out. What JavaScript cannot do
 * (atomic groups, possessive repeats, conditions, flags of a part) is refused by name.
 */
import { unsupportedError } from '../../../errors.ts'
import { spaces } from './text.ts'

const word = '\\p{L}\\p{N}_'
const boundary = `(?:(?<=[${word}])(?![${word}])|(?<![${word}])(?=[${word}]))`
const noBoundary = `(?:(?<=[${word}])(?=[${word}])|(?<![${word}])(?![${word}]))`

/** Inside of a class. */
const classes: Readonly<Record<string, string>> = { d: '\\p{Nd}', D: '\\P{Nd}', w: word, s: spaces }
const controls: Readonly<Record<string, string>> = {
  a: '\\x07',
  f: '\\f',
  n: '\\n',
  r: '\\r',
  t: '\\t',
  v: '\\v',
}

/** Compiles a pattern of Python's. @throws Error for what is no pattern; unsupported error for what JavaScript does not have */
export function pythonRegex(pattern: string, flags: { readonly ignoreCase?: boolean } = {}): RegExp {
  const { source, ignoreCase } = new Translation(pattern).run()
  return new RegExp(source, ignoreCase || flags.ignoreCase ? 'giu' : 'gu')
}

/** Python's `re.findall`: whole matches, or of patterns with groups their texts; `''` for a group that took no part. */
export function findAll(regex: RegExp, text: string): (string | string[])[] {
  return [...text.matchAll(regex)].map(([whole, ...groups]) => {
    if (groups.length === 0) return whole
    return groups.length === 1 ? (groups[0] ?? '') : groups.map((group) => group ?? '')
  })
}

/** Python's `re.sub`; `count` 0 replaces all. */
export function substitute(regex: RegExp, replacement: string, text: string, count = 0): string {
  const parts = replacementParts(replacement)
  let done = 0
  return text.replace(regex, (whole, ...rest) => {
    if (count > 0 && ++done > count) return whole
    const named = typeof rest.at(-1) === 'object' ? (rest.at(-1) as Record<string, string | undefined>) : {}
    const numbered = rest as (string | undefined)[]
    return parts
      .map((part) => {
        if (typeof part === 'string') return part
        const { group } = part
        if (typeof group === 'string') return named[group] ?? ''
        return group === 0 ? whole : (numbered[group - 1] ?? '')
      })
      .join('')
  })
}

function replacementParts(replacement: string): (string | { group: number | string })[] {
  const pattern = /\\g<(?<name>\w+)>|\\(?<number>[1-9]\d?)|\\(?<letter>.)|(?<rest>[^\\]+)/gsu
  return [...replacement.matchAll(pattern)].map(({ groups }) => {
    const { name, number, letter, rest } = groups!
    if (name !== undefined) return { group: /^\d+$/.test(name) ? Number(name) : name }
    if (number !== undefined) return { group: Number(number) }
    if (rest !== undefined) return rest
    const control: Record<string, string> = { n: '\n', t: '\t', r: '\r', f: '\f', v: '\v', a: '\x07', b: '\b', '\\': '\\' }
    if (/[a-z]/i.test(letter!) && control[letter!] === undefined) throw new Error(`bad escape \\${letter} in a replacement`)
    return control[letter!] ?? `\\${letter}`
  })
}

class Translation {
  readonly #pattern: string
  #at = 0
  #ignoreCase = false
  #dotAll = false
  #multiline = false
  #verbose = false

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  run(): { source: string; ignoreCase: boolean } {
    const global = /^\(\?([aiLmsux]+)\)/.exec(this.#pattern)
    if (global) {
      this.#at = global[0].length
      this.#flags(global[1]!)
    }
    let source = ''
    while (this.#at < this.#pattern.length) source += this.#next()
    return { source, ignoreCase: this.#ignoreCase }
  }

  #flags(letters: string): void {
    if (/[La]/.test(letters)) this.#refuse(`the flag ${letters}`)
    this.#ignoreCase ||= letters.includes('i')
    this.#dotAll ||= letters.includes('s')
    this.#multiline ||= letters.includes('m')
    this.#verbose ||= letters.includes('x')
  }

  #next(): string {
    const character = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!)
    this.#at += character.length
    if (this.#verbose && /\s/.test(character)) return ''
    if (this.#verbose && character === '#') {
      const end = this.#pattern.indexOf('\n', this.#at)
      this.#at = end < 0 ? this.#pattern.length : end + 1
      return ''
    }
    switch (character) {
      case '\\':
        return this.#escape()
      case '[':
        return this.#class()
      case '(':
        return this.#group()
      case '.':
        return this.#dotAll ? '[^]' : '[^\\n]'
      case '^':
        return this.#multiline ? '(?<![^\\n])' : '(?<![^])'
      case '$':
        return this.#multiline ? '(?![^\\n])' : '(?=\\n?(?![^]))'
      case '{':
        return this.#braces()
      case '}':
      case ']':
      case '/':
        return `\\${character}`
      case '*':
      case '+':
      case '?':
        return this.#repeat(character)
      default:
        return character
    }
  }

  #repeat(sign: string): string {
    if (this.#pattern[this.#at] === '+') this.#refuse(`the possessive repeat ${sign}+`)
    return sign
  }

  #braces(): string {
    const found = /^(\d*)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#at))
    if (!found || (found[1] === '' && found[3] === '' && found[2] === '') || found[0] === ',}') return '\\{'
    this.#at += found[0].length
    return this.#repeat(`{${found[1] || '0'}${found[2]}${found[3]}}`)
  }

  #group(): string {
    const rest = this.#pattern.slice(this.#at)
    const take = (length: number, written: string) => {
      this.#at += length
      return written
    }
    if (!rest.startsWith('?')) return '('
    const comment = /^\?#[^)]*\)/.exec(rest)
    if (comment) return take(comment[0].length, '')
    const open = /^\?(?::|=|!|<=|<!)/.exec(rest)
    if (open) return take(open[0].length, `(${open[0]}`)
    const name = /^\?P<([^>]+)>/.exec(rest)
    if (name) return take(name[0].length, `(?<${name[1]}>`)
    const back = /^\?P=([^)]+)\)/.exec(rest)
    if (back) return take(back[0].length, `\\k<${back[1]}>`)
    if (rest.startsWith('?(')) return this.#refuse('a condition (?(...)')
    if (rest.startsWith('?>')) return this.#refuse('an atomic group (?>...)')
    return this.#refuse(`flags in the middle of a pattern (${rest.slice(0, 4)})`)
  }

  #escape(): string {
    const code = this.#code()
    if (code !== undefined) return code
    const letter = this.#pattern[this.#at++]
    if (letter === undefined) throw new Error('bad escape at the end of the pattern')
    if (letter === 'A') return '(?<![^])'
    if (letter === 'Z') return '(?![^])'
    if (letter === 'b') return boundary
    if (letter === 'B') return noBoundary
    if (letter === 'S' || letter === 'W') return `[^${letter === 'S' ? spaces : word}]`
    if (Object.hasOwn(classes, letter)) return `[${classes[letter]}]`
    if (Object.hasOwn(controls, letter)) return controls[letter]!
    if (/[1-9]/.test(letter)) return this.#backReference(letter)
    return escaped(letter, this.#pattern)
  }

  #backReference(digit: string): string {
    const second = this.#pattern[this.#at]
    if (second === undefined || !/\d/.test(second)) return `(?:\\${digit})`
    this.#at++
    return `(?:\\${digit}${second})`
  }

  /** A character by its number. */
  #code(): string | undefined {
    const found = /^(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(0[0-7]{0,2}|[1-3][0-7]{2}))/.exec(
      this.#pattern.slice(this.#at),
    )
    if (!found) return undefined
    this.#at += found[0].length
    const [, x, u, long, octal] = found
    const code = octal === undefined ? Number.parseInt((x ?? u ?? long)!, 16) : Number.parseInt(octal, 8)
    return `\\u{${code.toString(16)}}`
  }

  #class(): string {
    let source = '['
    if (this.#pattern[this.#at] === '^') {
      source += '^'
      this.#at++
    }
    const begin = this.#at
    for (;;) {
      const character = this.#pattern[this.#at++]
      if (character === undefined) throw new Error('unterminated character set')
      if (character === ']' && this.#at - 1 > begin) return `${source}]`
      if (character === '\\') source += this.#inClass()
      else if (character === '-') source += this.#isRange(begin) ? '-' : '\\-'
      else source += /[\][/^|{}()]/.test(character) ? `\\${character}` : character
    }
  }

  /** A hyphen between two characters: not the first, nor the last, nor behind a class of its own. */
  #isRange(begin: number): boolean {
    const before = this.#pattern.slice(begin, this.#at - 1)
    return before !== '' && this.#pattern[this.#at] !== ']' && !/(?<!\\)(?:\\\\)*\\[dDwWsS]$/.test(before)
  }

  #inClass(): string {
    const code = this.#code()
    if (code !== undefined) return code
    const letter = this.#pattern[this.#at++]
    if (letter === undefined) throw new Error('unterminated character set')
    if (letter === 'S' || letter === 'W') return this.#refuse(`\\${letter} in a set`)
    if (letter === 'b') return '\\x08'
    if (Object.hasOwn(classes, letter)) return classes[letter]!
    if (Object.hasOwn(controls, letter)) return controls[letter]!
    return escaped(letter, this.#pattern)
  }

  #refuse(what: string): never {
    throw unsupportedError(`the regular expression ${JSON.stringify(this.#pattern)}: ${what} is not supported`)
  }
}

/** A character that stands for itself. */
function escaped(character: string, pattern: string): string {
  if (/[a-zA-Z]/.test(character)) throw new Error(`bad escape \\${character} in ${JSON.stringify(pattern)}`)
  return /[\^$\\.*+?()[\]{}|/-]/.test(character) ? (character === '-' ? '\\x2d' : `\\${character}`) : character
}
