/**
 * Sets of characters of an Oniguruma pattern, decided by JavaScript's own Unicode tables: each set is written as a class
 * of the `v` flag and asked once per character. Names and members as Oniguruma's doc/RE says for UTF-8.
 */
import type { CharacterClassElementNode } from 'oniguruma-parser/parser'
import { isUnknownToPatterns } from '../newer-characters.ts'

export type SetNode = Exclude<CharacterClassElementNode, { type: 'CharacterClassRange' }>

export interface SetFlags {
  readonly ignoreCase: boolean
  /** The dot takes a line feed too. */
  readonly dotAll: boolean
}

export type CharacterSet = (codePoint: number) => boolean

const word = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]'
const posixSets: Readonly<Record<string, string>> = {
  alnum: '[\\p{Alphabetic}\\p{Nd}]',
  alpha: '\\p{Alphabetic}',
  ascii: '\\p{ASCII}',
  blank: '[\\p{Zs}\\t]',
  digit: '\\p{Nd}',
  lower: '\\p{Lowercase}',
  space: '\\p{White_Space}',
  upper: '\\p{Uppercase}',
  word,
  xdigit: '[0-9A-Fa-f]',
}

const character = (codePoint: number): string => `\\u{${codePoint.toString(16)}}`

/** Makes the set. `refuse` throws, naming what we cannot run as Oniguruma does. */
export function characterSet(node: SetNode, flags: SetFlags, refuse: (what: string) => never): CharacterSet {
  if (flags.ignoreCase) checkCaseless(node, refuse)
  const isWord =
    node.type === 'CharacterSet' && (node.kind === 'word' || (node.kind === 'property' && /^word$/i.test(node.value)))
  const source = isWord ? aloneWord(node.negate === true) : setSource(node, flags, refuse)
  const pattern = new RegExp(`^${source}$`, flags.ignoreCase ? 'iv' : 'v')
  const hasLiterals = namesBeyondAscii(node)
  const ask = (codePoint: number): boolean =>
    pattern.test(String.fromCodePoint(!hasLiterals && isUnknownToPatterns(codePoint) ? unassigned : codePoint))
  let known: Uint8Array | undefined // 0: not asked yet, 1: no, 2: yes
  return (codePoint) => {
    if (codePoint > 0xffff) return ask(codePoint)
    known ??= new Uint8Array(0x10000)
    if (known[codePoint] === 0) known[codePoint] = ask(codePoint) ? 2 : 1
    return known[codePoint] === 2
  }
}

const unassigned = 0x378

/** Below U+0100 Oniguruma has a table for `\w` that counts superscripts and fractions; inside classes it does not ask it. */
const aloneWord = (negate: boolean): string => `[${negate ? '^' : ''}${word}\u{b2}\u{b3}\u{b9}\u{bc}-\u{be}]`

/** Single characters are found whether they are assigned or not. */
function namesBeyondAscii(node: CharacterClassElementNode): boolean {
  if (node.type === 'Character') return node.value > 0x7f
  if (node.type === 'CharacterClassRange') return node.max.value > 0x7f
  return node.type === 'CharacterClass' && node.body.some(namesBeyondAscii)
}

function setSource(node: CharacterClassElementNode, flags: SetFlags, refuse: (what: string) => never): string {
  switch (node.type) {
    case 'Character':
      return character(node.value)
    case 'CharacterClassRange':
      return `${character(node.min.value)}-${character(node.max.value)}`
    case 'CharacterClass': {
      const parts = node.body.map((each) => setSource(each, flags, refuse))
      return `[${node.negate ? '^' : ''}${parts.join(node.kind === 'intersection' ? '&&' : '')}]`
    }
  }
  const { kind, negate } = node
  if (kind === 'property' || kind === 'posix') return propertySource(node.value, kind, negate, refuse)
  const positive = { any: '\\p{Any}', digit: '\\p{Nd}', space: '\\p{White_Space}', word, hex: '[0-9A-Fa-f]' }
  if (kind === 'dot') return flags.dotAll ? '\\p{Any}' : '[^\\n]'
  if (kind === 'newline' && negate) return '[^\\n]'
  if (kind === 'newline' || kind === 'text_segment') return refuse(kind === 'newline' ? '\\R' : '\\X')
  return negate ? `[^${positive[kind]}]` : positive[kind]
}

function propertySource(name: string, kind: string, negate: boolean, refuse: (what: string) => never): string {
  const posix = posixSets[name.toLowerCase()]
  if (posix) return negate ? `[^${posix}]` : posix
  if (kind === 'property') {
    for (const source of [name, `Script=${name}`].map((each) => `\\${negate ? 'P' : 'p'}{${each}}`)) {
      try {
        new RegExp(source, 'v')
        return source
      } catch {
        // Not a name of this kind.
      }
    }
  }
  return refuse(kind === 'posix' ? `[:${name}:]` : `\\p{${name}}`)
}

/** Oniguruma folds some letters into several (`ß` and `ss`), and properties differently: only ASCII is sure to be alike. */
function checkCaseless(node: CharacterClassElementNode, refuse: (what: string) => never): void {
  if (node.type === 'Character' && node.value > 0x7f) refuse('(?i) with letters beyond ASCII')
  if (node.type === 'CharacterClassRange') for (const end of [node.min, node.max]) checkCaseless(end, refuse)
  if (node.type === 'CharacterClass') for (const each of node.body) checkCaseless(each, refuse)
  const caseless = node.type !== 'CharacterSet' || ['space', 'digit', 'any', 'dot', 'newline'].includes(node.kind)
  if (!caseless && !(node.kind === 'property' && /^(?:L|M|N|P|S|Z|N[dlo]|M[cen]|P[cdefios]|S[ckmo]|Z[lps])$/.test(node.value))) {
    refuse('(?i) with a property of letters')
  }
}
