/**
 * Normalizers of a tokenizer.json, as huggingface/tokenizers runs them (tokenizers/src/normalizers). What comes out is at
 * most `maxGrowth` times as long as what went in: a chain of replacements could double a text forty times.
 */
import { betweenUnknown } from './newer-characters.ts'
import { flattenParts, needKey, unsupportedPart } from './parts.ts'
import { compilePattern } from './pattern/compile-pattern.ts'
import { findMatches } from './pattern/match-pattern.ts'
import type { Component } from './tokenizer-json.ts'

export interface Normalized {
  readonly text: string
  /** Characters at its start were taken away, so it does not begin where the text does. */
  readonly lostStart: boolean
}

export interface Normalizer {
  /** @throws unsupported error when the text grows beyond the bound, or a pattern takes too many steps */
  readonly normalize: (text: string) => Normalized
  /** UTF-16 units of text that one unit of the result may stand for, at most. Infinity where there is no bound. */
  readonly shrinks: number
}

/** The longest that Unicode knows, one character into 18 (U+FDFA in NFKC), fits; so do replacements that do their work. */
export const maxGrowth = 32
/** Any text may grow to this length. */
const freeLength = 4096

/** What a step may use and has to say. */
interface State {
  /** Longest text that may come of it. */
  readonly longest: number
  lostStart: boolean
}
type Step = (text: string, state: State) => string
interface Rule {
  readonly step: Step
  readonly shrinks: number
}
type Build = (part: Component, file: string) => Rule

/** Canonical composition makes at most four units one; compatibility characters beyond U+FFFF are two units for one. */
const unicodeForm =
  (form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Build =>
  () => ({
    step: (text) => betweenUnknown(text, (part) => part.normalize(form)),
    shrinks: 8,
  })

/** U+1CF2 and U+1CF3 were marks in Unicode before 12. */
const stripAccents = (text: string): string => betweenUnknown(text, (part) => part.replace(/[\p{M}\u1cf2\u1cf3]+/gu, ''))

const rules: Readonly<Record<string, Build>> = {
  NFC: unicodeForm('NFC'),
  NFD: unicodeForm('NFD'),
  NFKC: unicodeForm('NFKC'),
  NFKD: unicodeForm('NFKD'),
  // A character at a time: the reference does not know that a sigma ends a word.
  Lowercase: () => ({ step: (text) => text.replace(/\p{Changes_When_Lowercased}/gu, (each) => each.toLowerCase()), shrinks: 2 }),
  StripAccents: () => ({
    step(text, state) {
      const first = String.fromCodePoint(text.codePointAt(0) ?? 0)
      if (stripAccents(first) === '') state.lostStart = true
      return stripAccents(text)
    },
    shrinks: Number.POSITIVE_INFINITY,
  }),
  Strip: ({ strip_left, strip_right }) => ({
    step(text, state) {
      const start = strip_left ? endOfSpaces(text) : 0
      if (start > 0) state.lostStart = true
      const end = strip_right ? endWithoutSpaces(text, start) : text.length
      return text.slice(start, end)
    },
    shrinks: Number.POSITIVE_INFINITY,
  }),
  Prepend(part, file) {
    const prefix = needKey(part, 'prepend', file)
    return { step: (text) => (text ? prefix + text : text), shrinks: 1 }
  },
  Replace(part, file) {
    const pattern = needKey(part, 'pattern', file)
    const content = needKey(part, 'content', file)
    if ('String' in pattern) {
      const from = pattern.String
      const shrinks = content ? Math.max(1, from.length / content.length) : Number.POSITIVE_INFINITY
      return { step: (text, state) => replaceAll(text, literalMatches(text, from), content, state), shrinks }
    }
    const compiled = compilePattern(pattern.Regex, file)
    return {
      step: (text, state) => (text ? replaceAll(text, findMatches(compiled, text), content, state) : text),
      shrinks: Number.POSITIVE_INFINITY,
    }
  },
}

/** @throws unsupported error naming the normalizer; checkpoint error for one without what it needs */
export function parseNormalizer(part: Component | null, file: string): Normalizer {
  const chain = flattenParts(part, 'normalizer', file).map((each) => {
    const build = Object.hasOwn(rules, each.type) ? rules[each.type] : undefined
    if (!build) throw unsupportedPart(file, `normalizer "${each.type}"`, ['Sequence', ...Object.keys(rules)])
    return { type: each.type, ...build(each, file) }
  })
  return {
    shrinks: chain.reduce((product, rule) => product * rule.shrinks, 1),
    normalize(input) {
      const state: State = { longest: freeLength + maxGrowth * input.length, lostStart: false }
      const text = chain.reduce((before, { type, step }) => {
        const after = step(before, state)
        if (after.length <= state.longest) return after
        const what = `a normalizer ("${type}") that makes a text of ${input.length} characters longer than ${state.longest}`
        throw unsupportedPart(file, what)
      }, input)
      return { text, lostStart: state.lostStart }
    },
  }
}

function replaceAll(text: string, matches: Iterable<{ start: number; end: number }>, content: string, state: State): string {
  const parts: string[] = []
  let length = 0
  let done = 0
  for (const { start, end } of matches) {
    parts.push(text.slice(done, start), content)
    length += start - done + content.length
    // The caller refuses what is too long; here it must not be built.
    if (length > state.longest) return 'x'.repeat(state.longest + 1)
    if (end > 0 && start === 0 && content === '') state.lostStart = true
    done = end
  }
  return parts.length === 0 ? text : parts.join('') + text.slice(done)
}

function* literalMatches(text: string, from: string): Generator<{ start: number; end: number }> {
  for (let start = text.indexOf(from); start >= 0; start = text.indexOf(from, start + from.length)) {
    yield { start, end: start + from.length }
  }
}

const space = /\p{White_Space}/u

/** Where the white space that begins at `from` ends. */
export function endOfSpaces(text: string, from = 0): number {
  let at = from
  while (at < text.length && space.test(text[at]!)) at++
  return at
}

/** Where the white space that ends at `to` begins; not before `from`. */
export function endWithoutSpaces(text: string, from: number, to = text.length): number {
  let at = to
  while (at > from && space.test(text[at - 1]!)) at--
  return at
}
