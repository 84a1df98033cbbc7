/**
 * Pre-tokenizers of a tokenizer.json: how a text is cut into the words inside which pieces merge, as huggingface/tokenizers
 * cuts it (tokenizers/src/pre_tokenizers, and `NormalizedString::split` for what becomes of the matches).
 */
import { byteCharacters } from './byte-level.ts'
import { flattenParts, needKey, unsupportedPart } from './parts.ts'
import { compilePattern, type Pattern } from './pattern/compile-pattern.ts'
import { findMatches, type Match } from './pattern/match-pattern.ts'
import type { Component } from './tokenizer-json.ts'

/** GPT-2's words. */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** Cuts text into the matches of a pattern and what lies between them. */
export const isolate = (pattern: string): Component => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
})

export const sequence = (pretokenizers: Component[]): Component => ({ type: 'Sequence', pretokenizers })

/** Writes each byte as a character, and cuts nothing. */
export const bytesOnly: Component = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }

export interface Word {
  readonly text: string
  /** It begins where the whole text does. */
  readonly atStart: boolean
}

export interface PreTokenizer {
  /** @throws unsupported error when a pattern takes too many steps */
  cut(text: Word): Iterable<Word>
  /** The words' bytes are to be written as characters (`spellBytes`); put off until here, since words come again. */
  readonly byteLevel: boolean
}

type Stage = (word: Word) => Iterable<Word>
type Build = (part: Component, file: string) => Stage

const stages: Readonly<Record<string, Build>> = {
  ByteLevel(part, file) {
    const pattern = part.use_regex === false ? undefined : compilePattern(gpt2Pattern, file)
    return (word) => {
      const text = part.add_prefix_space !== false && !word.text.startsWith(' ') ? ` ${word.text}` : word.text
      return pattern ? splitWord({ ...word, text }, findMatches(pattern, text), 'Isolated', false) : [{ ...word, text }]
    }
  },
  // The reference's digits are Rust's `char::is_numeric`, which is \p{N}.
  Digits(part, file) {
    const pattern = compilePattern(part.individual_digits ? '\\p{N}' : '\\p{N}+', file)
    return (word) => splitWord(word, findMatches(pattern, word.text), 'Isolated', false)
  },
  Metaspace(part) {
    const mark = part.replacement ?? '▁'
    const scheme = part.prepend_scheme ?? (part.add_prefix_space === false ? 'never' : 'always')
    return (word) => {
      const marked = word.text.replaceAll(' ', mark)
      const prepend = !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && word.atStart))
      const text = prepend ? mark + marked : marked
      return part.split === false ? [{ ...word, text }] : splitWord({ ...word, text }, marks(text, mark), 'MergedWithNext', false)
    }
  },
  Split(part, file) {
    const pattern = needKey(part, 'pattern', file)
    const behavior = behaviors.find((each) => each === part.behavior)
    if (!behavior) throw unsupportedPart(file, `pre_tokenizer "Split" with behavior "${part.behavior}"`, behaviors)
    const invert = part.invert === true
    if ('String' in pattern) return (word) => splitWord(word, marks(word.text, pattern.String), behavior, invert)
    const compiled: Pattern = compilePattern(pattern.Regex, file)
    return (word) => splitWord(word, findMatches(compiled, word.text), behavior, invert)
  },
}

const behaviors = ['Isolated', 'Removed', 'Contiguous', 'MergedWithPrevious', 'MergedWithNext'] as const
type Behavior = (typeof behaviors)[number]

/** @throws unsupported error naming the pre-tokenizer; checkpoint error for one without what it needs */
export function parsePreTokenizer(part: Component | null, file: string): PreTokenizer {
  const parts = flattenParts(part, 'pre_tokenizer', file)
  const byteLevel = parts.filter((each) => each.type === 'ByteLevel').length
  if (byteLevel > 1) throw unsupportedPart(file, 'a pre_tokenizer with more than one "ByteLevel"')
  const chain = parts.map((each, i) => {
    const build = Object.hasOwn(stages, each.type) ? stages[each.type] : undefined
    if (!build) throw unsupportedPart(file, `pre_tokenizer "${each.type}"`, ['Sequence', ...Object.keys(stages)])
    const stage = build(each, file)
    return each.type === 'ByteLevel' && i < parts.length - 1 ? spelled(stage) : stage
  })
  const cut = (text: Word): Iterable<Word> => chain.reduce<Iterable<Word>>((words, stage) => eachOf(words, stage), [text])
  return { cut, byteLevel: parts.at(-1)?.type === 'ByteLevel' }
}

/** The stages behind it see bytes. */
const spelled = (stage: Stage): Stage =>
  function* (word) {
    for (const each of stage(word)) yield { ...each, text: spellBytes(each.text) }
  }

function* eachOf(words: Iterable<Word>, stage: Stage): Generator<Word> {
  for (const word of words) {
    for (const part of stage(word)) if (part.text.length > 0) yield part
  }
}

function* marks(text: string, mark: string): Generator<Match> {
  for (let start = text.indexOf(mark); start >= 0; start = text.indexOf(mark, start + mark.length)) {
    yield { start, end: start + mark.length }
  }
}

interface Span extends Match {
  readonly isMatch: boolean
}

function* splitWord(word: Word, matches: Iterable<Match>, behavior: Behavior, invert: boolean): Generator<Word> {
  for (const { start, end } of spansOf(behavior, spans(word.text.length, matches, invert))) {
    yield { text: word.text.slice(start, end), atStart: word.atStart && start === 0 }
  }
}

/** Matches and what lies between them. */
function* spans(length: number, matches: Iterable<Match>, invert: boolean): Generator<Span> {
  let done = 0
  for (const { start, end } of matches) {
    if (start > done) yield { start: done, end: start, isMatch: invert }
    yield { start, end, isMatch: !invert }
    done = end
  }
  if (done < length) yield { start: done, end: length, isMatch: invert }
}

function* spansOf(behavior: Behavior, parts: Iterable<Span>): Generator<Match> {
  let held: Span | undefined
  for (const part of parts) {
    if (behavior === 'Isolated') yield part
    else if (behavior === 'Removed') {
      if (!part.isMatch) yield part
    } else if (held && joins(behavior, held, part)) held = { ...part, start: held.start }
    else {
      if (held) yield held
      held = part
    }
  }
  if (held) yield held
}

function joins(behavior: Behavior, left: Span, right: Span): boolean {
  if (behavior === 'Contiguous') return left.isMatch === right.isMatch
  return behavior === 'MergedWithPrevious' ? right.isMatch && !left.isMatch : left.isMatch && !right.isMatch
}

/** A text's UTF-8, each byte written as a character of the byte-level alphabet. */
export function spellBytes(text: string): string {
  if (/^[!-~]*$/.test(text)) return text
  let spelled = ''
  for (const byte of utf8.encode(text)) spelled += byteCharacters[byte]
  return spelled
}
const utf8 = new TextEncoder()
