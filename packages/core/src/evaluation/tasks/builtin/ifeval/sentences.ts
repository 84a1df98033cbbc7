/**
 * Sentences of English text, by the rules of T. Kiss and J. Strunk (Unsupervised Multilingual Sentence Boundary Detection,
 * Computational Linguistics 32, 2006) in the form that NLTK's Punkt gives them: a mark ends a sentence unless its word is an
 * abbreviation, an initial or a number that goes on. What their training learns of words from a corpus is not here. In its place stand
 * two lists of our own, of common English abbreviations and of English function words; no data of a trained model is copied.
 */
import { isSpace, spaces } from '../../python/text.ts'

const words = (...texts: readonly string[]): ReadonlySet<string> => new Set(texts.join(' ').split(' '))

/**
 * Common abbreviations, without their point. Left out are those that are common words, too ("no", "fig", "sat", "ill"): such a word ends a
 * sentence more often. Letters with points between them ("U.S.", "e.g.", "a.m.") need no list.
 */
const abbreviations = words(
  'mr mrs ms mx messrs dr prof rev hon st sr jr esq pres gov sen rep supt', // titles
  'gen col maj capt cmdr lt sgt cpl pvt adm brig', // ranks
  'jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues weds thu thur thurs fri', // the calendar
  'etc cf viz vs ca al ibid approx esp incl', // Latin, and what is written like it
  'ft yd oz lb lbs kg km cm mm hr hrs mph tsp tbsp', // units
  'inc ltd co corp bros assn dept univ mfg', // bodies
  'ave blvd rd mt hwy', // addresses
  'ala ariz calif colo conn fla ga kan ky md mich minn nev okla penn tenn tex va vt wis wyo', // states
  'ph.d vol vols pp nos ed eds', // degrees and books
)

/** A capital behind an abbreviation begins a sentence where it is that of a function word: others may be names. */
const functionWords = words(
  'a an the this that these those', // determiners
  'all another any both each either every few many most much neither no none several some such', // quantifiers
  'he her here his i it its my one our she their there they we you your', // pronouns
  'how what when where which who whose why', // questions
  'although and because but if nor or since so though unless until whereas whether while yet', // conjunctions
  'about after against among around as at before behind between by despite during for from in into of on over through to under with without', // prepositions
  'also finally first hence however indeed instead later meanwhile moreover nevertheless next nonetheless not now otherwise perhaps still then therefore thus today',
  'are can could did do does had has have is let may might must should was were will would', // auxiliaries
)

const number = '##number##'
const closing = `["')\\]}‘’“”«»]`
const nonWord = `[)";}\\]*:@'({\\[‘’“”«»?!]`
const manyMarks = '(?:-{2,}|\\.{2,}|(?:\\.\\s){2,}\\.)'.replaceAll('\\s', `[${spaces}]`)
const space = `[${spaces}]`
const visible = `[^${spaces}]`
/** A mark, and what follows: other punctuation, or a word behind white space. */
const contexts = new RegExp(`[.?!](?=(${nonWord}|${space}+(${visible}+)))`, 'dgu')
const tokens = new RegExp(
  `${manyMarks}|(?=[^("\`{\\[:;&#*@)}\\]\\-,])${visible}+?(?=${space}|$|${nonWord}|${manyMarks}|,(?=$|${space}|${nonWord}|${manyMarks}))|${visible}`,
  'gu',
)
/** Quotes and brackets that belong to the sentence before. */
const realignment = new RegExp(`^${closing}+?(?:${space}+|(?=--)|(?=\\n)|$)`, 'u')

interface Token {
  readonly text: string
  /** In small letters; numbers are alike. */
  readonly type: string
  isBreak: boolean
  isAbbreviation: boolean
}

/** @returns how many sentences there are; 0 for white space only */
export function countSentences(text: string): number {
  return sentences(text).length
}

export function sentences(text: string): string[] {
  const slices: [number, number][] = []
  let last = 0
  for (const { end, next, context } of candidates(text)) {
    if (!containsBreak(context)) continue
    slices.push([last, end])
    last = next ?? end
  }
  slices.push([last, text.length - trailingSpace(text)])
  return realigned(text, slices)
}

interface Candidate {
  /** Behind the mark. */
  readonly end: number
  /** Where the next word begins, where white space stands before it. */
  readonly next: number | undefined
  /** The word with its mark, and what follows. */
  readonly context: string
}

/** Of marks within one word only the last. */
function* candidates(text: string): Generator<Candidate> {
  let before: { match: RegExpExecArray; word: [number, number] } | undefined
  const candidate = ({ match, word: [from, to] }: { match: RegExpExecArray; word: [number, number] }): Candidate => ({
    end: match.index + 1,
    next: match.indices![2]?.[0],
    context: text.slice(from, to) + match[0] + match[1],
  })
  for (const match of text.matchAll(contexts) as IterableIterator<RegExpExecArray>) {
    const [start, from] = before?.word ?? [0, 0]
    const at = lastSpace(text, from, match.index)
    // Marks of one word are one candidate: its word begins where that of the mark before does.
    const word: [number, number] = [at === undefined || at === from ? start : at + 1, match.index]
    if (before && before.word[1] <= word[0]) yield candidate(before)
    before = { match, word }
  }
  if (before) yield candidate(before)
}

function lastSpace(text: string, from: number, to: number): number | undefined {
  for (let i = to - 1; i >= from; i--) if (/[ \t\n\r\v\f]/.test(text[i]!)) return i
  return undefined
}

function trailingSpace(text: string): number {
  let count = 0
  while (count < text.length && isSpace(text[text.length - 1 - count])) count++
  return count
}

function realigned(text: string, slices: readonly [number, number][]): string[] {
  const found: string[] = []
  let shift = 0
  for (const [i, [from, to]] of slices.entries()) {
    const start = from + shift
    const next = slices[i + 1]
    const match = next && realignment.exec(text.slice(...next))
    if (match) {
      found.push(text.slice(start, next[0] + match[0].trimEnd().length))
      shift = match[0].length
      continue
    }
    shift = 0
    if (to > start) found.push(text.slice(start, to))
  }
  return found
}

function containsBreak(context: string): boolean {
  const list = context
    .split('\n')
    .flatMap((line) => line.match(tokens) ?? [])
    .map(firstPass)
  for (const [i, token] of list.entries()) {
    const next = list[i + 1]
    if (!next) return false
    secondPass(token, next)
    if (token.isBreak) return true
  }
  return false
}

function firstPass(text: string): Token {
  const lower = text.toLowerCase()
  const type = /^-?[.,]?\p{Nd}[\p{Nd},.-]*\.?$/u.test(lower) ? number : lower
  const token = { text, type, isBreak: false, isAbbreviation: false }
  if (['.', '?', '!'].includes(text)) token.isBreak = true
  else if (text.endsWith('.') && !text.endsWith('..')) {
    const word = lower.slice(0, -1)
    if (pointedLetters.test(word) || abbreviations.has(word.split('-').at(-1)!)) token.isAbbreviation = true
    else token.isBreak = true
  }
  return token
}

/** Letters with points between them. */
const pointedLetters = /^(?:\p{L}\.)+\p{L}$/u

const isEllipsis = (text: string): boolean => /^\.\.+$/.test(text)

function secondPass(token: Token, next: Token): void {
  if (!token.text.endsWith('.')) return
  const isInitial = /^[\p{L}_]\.$/u.test(token.text)
  const isUpper = /^\p{Uppercase}/u.test(next.text)
  const isLower = /^\p{Lowercase}/u.test(next.text)
  const begins = functionWords.has(next.isBreak && next.type.length > 1 ? next.type.replace(/\.$/, '') : next.type)
  if ((token.isAbbreviation || isEllipsis(token.text)) && !isInitial) {
    if (isUpper && begins) token.isBreak = true
    return
  }
  const isNumber = token.type === number
  if (!isInitial && !isNumber) return
  const goesOn = /^[;:,.!?]$/.test(next.text) || isLower
  if (goesOn || (isInitial && isUpper && !begins)) token.isBreak = false
}
