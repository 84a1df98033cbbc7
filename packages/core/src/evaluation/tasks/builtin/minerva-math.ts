/**
 * Answers to problems of mathematics, as Minerva compares them (A. Lewkowycz et al., arXiv 2206.14858, appendix D): the last box of a
 * solution, and the sentence that ends an answer, both in one spelling. Equal spellings are equal answers; that two different ones may
 * have one value (the harness asks sympy) does not count here.
 */
import { usageError } from '../../../errors.ts'
import type { Document } from '../config.ts'
import { strip } from '../python/text.ts'

/** A document with its solution's boxed answer under `answer`. @throws usage error for a solution without one */
export function withAnswer(doc: Document): Document {
  const { problem, solution } = doc
  if (typeof problem !== 'string' || typeof solution !== 'string')
    throw usageError('minerva_math: a document needs the texts problem and solution')
  const boxed = lastBox(solution)
  if (boxed === undefined) throw usageError('minerva_math: the field solution has no \\boxed answer')
  return { problem, solution, answer: plainAnswer(boxed) }
}

const sentence = /Final Answer: The final answer is([^\n]*?)[^\n] I hope it is correct[^\n]/

/** `exact_match` of what stands in the last sentence. */
export function judgeMath(doc: Document, text: string): { exact_match: number } {
  // The sentence that a text broke off in still counts.
  const found = sentence.exec(`${text}I hope it is correct.`)
  const answer = plainAnswer(found ? strip(found[1]!) : '[invalidanswer]')
  return { exact_match: Number(answer === doc.answer) }
}

/** What is within the last `\boxed{..}`, `\boxed ..` or `\fbox{..}`. */
export function lastBox(text: string): string | undefined {
  const open = /\\boxed [^$]*|\\(?:boxed|fbox)/g
  const last = [...text.matchAll(open)].at(-1)
  if (!last) return undefined
  if (last[0].startsWith('\\boxed ')) return last[0].slice('\\boxed '.length)
  const from = text.indexOf('{', last.index)
  let depth = 0
  for (let at = from; at >= 0 && at < text.length; at++) {
    if (text[at] === '{') depth++
    if (text[at] === '}' && --depth === 0) return text.slice(from + 1, at)
  }
  return undefined
}

/** In the order of appendix D. */
const replaced: readonly (readonly [string, string])[] = [
  ['an ', ''],
  ['a ', ''],
  ['.$', '$'],
  ['\\$', ''],
  ['\\ ', ''],
  [' ', ''],
  ['mbox', 'text'],
  [',\\text{and}', ','],
  ['\\text{and}', ','],
  ['\\text{m}', '\\text{}'],
]

const removed = [
  ...['square', 'ways', 'integers', 'dollars', 'mph', 'inches', 'ft', 'hours', 'km', 'units', '\\ldots', 'sue', 'points', 'feet'],
  ...['minutes', 'digits', 'cents', 'degrees', 'cm', 'gm', 'pounds', 'meters', 'meals', 'edges', 'students', 'childrentickets'],
  ...['multiples', '\\text{s}', '\\text{.}', '\\text{\ns}', '\\text{}^2', '\\text{}^3', '\\text{\n}', '\\text{}', '\\mathrm{th}'],
  ...['^\\circ', '^{\\circ}', '\\;', ',\\!', '{,}', '"', '\\dots'],
]

const isWord = (text: string): boolean => /^\p{L}+$/u.test(text)

/** One spelling for answers that differ in units, commas and brackets of LaTeX. */
export function plainAnswer(answer: string): string {
  let plain = answer.split('=').at(-1)!
  // Words first, while white space tells them apart.
  for (const word of removed.filter(isWord))
    plain = plain.replace(new RegExp(`(?<!\\\\)(?<![\\p{L}\\p{N}_])${word}(?![\\p{L}\\p{N}_])`, 'gu'), '')
  for (const [from, to] of replaced) plain = plain.replaceAll(from, to)
  for (const text of removed) plain = isWord(text) ? outsideOfCommands(plain, text) : plain.replaceAll(text, '')
  plain = plain
    .replace(/.*?\$(.*?)\$.*/g, '$$$1$$')
    .replace(/\\(?:text)\{(.*?)\}/g, '$1')
    .replace(/\\textbf\{(.*?)\}/g, '$1')
    .replace(/\\overline\{(.*?)\}/g, '$1')
    .replace(/\\boxed\{(.*)\}/g, '$1')
    // \frac12 and \sqrt2 with brackets.
    .replace(/frac([^{])(.)/g, 'frac{$1}{$2}')
    .replace(/sqrt(\[[^\]]*\])([\p{L}\p{N}_])/gu, 'sqrt$1{$2}')
    .replace(/sqrt(?!\[)([^{])/g, 'sqrt{$1}')
    .replaceAll('$', '')
  return /^-?\p{Nd}{1,3}(?:,\p{Nd}{3})+$/u.test(plain) ? plain.replaceAll(',', '') : plain
}

/** `ft` is no part of `\left`. */
const outsideOfCommands = (text: string, word: string): string =>
  text
    .split(/(\\[a-zA-Z]+)/)
    .map((part, i) => (i % 2 === 0 ? part.replaceAll(word, '') : part))
    .join('')
