/**
 * Instructions that can be checked by a program: J. Zhou et al., Instruction-Following Evaluation for Large Language Models
 * (arXiv 2311.07911), table 1. A row for each of the 25 kinds, by the data set's names; fields are the data set's, too. Where the
 * paper leaves room, the harness' checks decide what counts (lm_eval/tasks/ifeval).
 */
import { usageError } from '../../../../errors.ts'
import { findAll, pythonRegex } from '../../python/regex.ts'
import { spaces, strip } from '../../python/text.ts'
import { detectLanguage, knownLanguages } from './language.ts'
import { countSentences } from './sentences.ts'
import { treebankWords } from './words.ts'

/** The fields of an instruction; the data set gives every field to every instruction, and most of them empty. */
export type Fields = Readonly<Record<string, unknown>>

/** Whether a text follows an instruction; made once for several texts. */
export type Check = (text: string) => boolean

export const instructions: Readonly<Record<string, (fields: Fields) => Check>> = {
  'keywords:existence': (fields) => {
    const keywords = texts(fields, 'keywords').map((each) => pattern(each, 'i'))
    return (text) => keywords.every((each) => has(each, text))
  },
  'keywords:frequency': (fields) => {
    const keyword = pattern(strip(text(fields, 'keyword')), 'i')
    return amount(fields, 'relation', 'frequency', (text) => findAll(keyword, text).length)
  },
  'keywords:forbidden_words': (fields) => {
    const words = texts(fields, 'forbidden_words').map((each) => pattern(`\\b${each}\\b`, 'i'))
    return (text) => !words.some((each) => has(each, text))
  },
  // The harness draws a letter where the data set asks for something else, such as "#"; here that is counted.
  'keywords:letter_frequency': (fields) => {
    const letter = strip(text(fields, 'letter')).toLowerCase()
    return amount(fields, 'let_relation', 'let_frequency', (text) => text.toLowerCase().split(letter).length - 1)
  },
  'language:response_language': (fields) => {
    const language = text(fields, 'language')
    if (!knownLanguages.includes(language))
      throw usageError(`language: ${JSON.stringify(language)} is none of ${knownLanguages.join(', ')}`, { found: language })
    return isIn(language)
  },
  'length_constraints:number_sentences': (fields) => amount(fields, 'relation', 'num_sentences', countSentences),
  'length_constraints:number_paragraphs': (fields) => {
    const wanted = count(fields, 'num_paragraphs')
    const divider = pythonRegex('\\s?\\*\\*\\*\\s?')
    return (text) => {
      const parts = text.split(divider)
      // A divider may stand before the first and behind the last.
      return parts.slice(1, -1).every(isFilled) && parts.filter(isFilled).length === wanted
    }
  },
  'length_constraints:number_words': (fields) => {
    const word = pythonRegex('\\w+')
    return amount(fields, 'relation', 'num_words', (text) => findAll(word, text).length)
  },
  'length_constraints:nth_paragraph_first_word': (fields) => {
    const [wanted, nth] = [count(fields, 'num_paragraphs'), count(fields, 'nth_paragraph')]
    const word = text(fields, 'first_word').toLowerCase()
    return (text) => {
      const parts = text.split('\n\n')
      const filled = parts.filter(isFilled).length
      return filled === wanted && nth <= filled && firstWord(parts[nth - 1]!) === word
    }
  },
  'detectable_content:number_placeholders': (fields) => atLeast(fields, 'num_placeholders', '\\[.*?\\]'),
  'detectable_content:postscript': (fields) => {
    const marker = strip(text(fields, 'postscript_marker'))
    const own: Readonly<Record<string, string>> = { 'P.P.S': 'p\\.\\s?p\\.\\s?s', 'P.S.': 'p\\.\\s?s\\.' }
    const found = pattern(own[marker] ?? marker.toLowerCase())
    return (text) => has(found, text.toLowerCase())
  },
  'detectable_format:number_bullet_lists': (fields) => {
    const wanted = count(fields, 'num_bullets')
    const kinds = ['(?m)^\\s*\\*[^\\*].*$', '(?m)^\\s*-.*$'].map((each) => pythonRegex(each))
    return (text) => kinds.reduce((sum, kind) => sum + findAll(kind, text).length, 0) === wanted
  },
  'detectable_format:constrained_response': () => (text) =>
    ['My answer is yes.', 'My answer is no.', 'My answer is maybe.'].some((each) => text.includes(each)),
  'detectable_format:number_highlighted_sections': (fields) => {
    const wanted = count(fields, 'num_highlights')
    return (text) => {
      // Bold text counts as often as both forms find it.
      const found = [/\*([^\n*]*)\*/g, /\*\*([^\n*]*)\*\*/g].flatMap((form) => [...text.matchAll(form)])
      return found.filter(([, inner]) => isFilled(inner!)).length >= wanted
    }
  },
  'detectable_format:multiple_sections': (fields) =>
    atLeast(fields, 'num_sections', `\\s?${strip(text(fields, 'section_spliter'))}\\s?\\d+\\s?`),
  'detectable_format:json_format': () => isJson,
  'detectable_format:title': () => (text) => [...text.matchAll(/<<([^\n]+)>>/g)].some(([, title]) => isFilled(bare(title!))),
  'combination:two_responses': () => (text) => {
    const parts = text.split('******')
    const filled = parts.filter(isFilled).map(strip)
    return parts.slice(1, -1).every(isFilled) && filled.length === 2 && filled[0] !== filled[1]
  },
  'combination:repeat_prompt': (fields) => {
    const prompt = strip(text(fields, 'prompt_to_repeat')).toLowerCase()
    return (text) => strip(text).toLowerCase().startsWith(prompt)
  },
  'startend:end_checker': (fields) => {
    const end = strip(text(fields, 'end_phrase')).toLowerCase()
    return (text) =>
      strip(text)
        .replace(/^"+|"+$/g, '')
        .toLowerCase()
        .endsWith(end)
  },
  'startend:quotation': () => (text) => /^".*"$/s.test(strip(text)),
  'change_case:capital_word_frequency': (fields) =>
    amount(fields, 'capital_relation', 'capital_frequency', (text) => treebankWords(text).filter(isUpper).length),
  'change_case:english_capital': () => (text) => isUpper(text) && isIn('en')(text),
  'change_case:english_lowercase': () => (text) => isLower(text) && isIn('en')(text),
  'punctuation:no_comma': () => (text) => !text.includes(','),
}

/** `less than` or `at least` so many. */
function amount(fields: Fields, relation: string, number: string, of: (text: string) => number): Check {
  const wanted = count(fields, number)
  const asked = text(fields, relation)
  if (asked === 'less than') return (text) => of(text) < wanted
  if (asked === 'at least') return (text) => of(text) >= wanted
  throw usageError(`${relation}: expected "less than" or "at least", got ${JSON.stringify(asked)}`, { found: asked })
}

function atLeast(fields: Fields, number: string, source: string): Check {
  const wanted = count(fields, number)
  const regex = pattern(source)
  return (text) => findAll(regex, text).length >= wanted
}

/** Keywords of the data set are patterns, as in the harness. */
function pattern(source: string, flags: '' | 'i' = ''): RegExp {
  try {
    return pythonRegex(source, { ignoreCase: flags === 'i' })
  } catch (cause) {
    throw usageError(`${JSON.stringify(source)} is no pattern: ${(cause as Error).message}`, { cause, found: source })
  }
}

const has = (regex: RegExp, text: string): boolean => text.search(regex) >= 0

const isFilled = (text: string): boolean => strip(text) !== ''

/** Nothing can be said of a text without letters: it counts. */
const isIn =
  (language: string): Check =>
  (text) =>
    (detectLanguage(text) ?? language) === language

/** Python's `isupper` and `islower`: some letter has a case, and none has the other. */
const isUpper = (text: string): boolean => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)
const isLower = (text: string): boolean => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)

const bare = (title: string): string => title.replace(/^<+|>+$/g, '')

const anySpace = new RegExp(`[${spaces}]+`, 'u')

/** Up to its punctuation, without quotes before it. */
function firstWord(paragraph: string): string {
  const [word = ''] = strip(paragraph).split(anySpace)
  return word
    .replace(/^'+/, '')
    .replace(/^"+/, '')
    .split(/[.,?!'"]/)[0]!
    .toLowerCase()
}

/** In a fence of Markdown or not. */
function isJson(text: string): boolean {
  let inner = strip(text)
  for (const fence of ['```json', '```Json', '```JSON', '```']) if (inner.startsWith(fence)) inner = inner.slice(fence.length)
  if (inner.endsWith('```')) inner = inner.slice(0, -3)
  // Python takes these three for numbers.
  const numbers = inner.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/gs, (all) => (all.startsWith('"') ? all : 'null'))
  try {
    JSON.parse(strip(numbers))
    return true
  } catch {
    return false
  }
}

function text(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value === 'string' && value !== '') return value
  throw usageError(`${name}: expected a text, got ${JSON.stringify(value)}`, { expected: 'text', found: value })
}

function texts(fields: Fields, name: string): readonly string[] {
  const value = fields[name]
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string')) return value
  throw usageError(`${name}: expected a list of texts, got ${JSON.stringify(value)}`, { expected: 'list of texts', found: value })
}

function count(fields: Fields, name: string): number {
  const value = fields[name]
  // Parquet's 64-bit numbers.
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number > 0) return number
  throw usageError(`${name}: expected a number above 0, got ${String(value)}`, { expected: 'number', found: value })
}
