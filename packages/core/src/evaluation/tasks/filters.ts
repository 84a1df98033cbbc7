/** What becomes of generated texts before they are judged (lm_eval.filters). */
import { unsupportedError, usageError } from '../../errors.ts'
import { textProcessing } from './builtin/index.ts'
import { Builtin, type FilterStep, type TaskConfig, writesPrograms } from './config.ts'
import { findAll, pythonRegex } from './python/regex.ts'
import { strip } from './python/text.ts'

/** All answers to one question to what is judged: a text, or a list of them where no step takes one. */
export interface Filter {
  readonly name: string
  apply(answers: readonly string[], doc: Readonly<Record<string, unknown>>): string | readonly string[]
}

type Step = (answers: readonly string[], doc: Readonly<Record<string, unknown>>) => readonly string[]
type Options = Readonly<Record<string, unknown>>

/** A step that ends in one answer. */
const takesOne = 'take_first'

const each =
  (change: (answer: string) => string): Step =>
  (answers) =>
    answers.map(change)

interface StepRow {
  readonly options: readonly string[]
  /** @param where file and filter, for errors */
  make(options: Options, where: string): Step
}

const steps: Readonly<Record<string, StepRow>> = {
  take_first: { options: [], make: () => (answers) => answers.slice(0, 1) },
  take_first_k: {
    options: ['k'],
    make: ({ k }) => {
      if (typeof k !== 'number') throw new Error('k must be a number')
      return (answers) => {
        if (answers.length >= k) return answers.slice(0, k)
        throw usageError(`take_first_k: ${k} answers are wanted, there are ${answers.length}; raise repeats`)
      }
    },
  },
  majority_vote: { options: [], make: () => (answers) => [mostCommon(answers)] },
  remove_whitespace: { options: [], make: () => each(strip) },
  lowercase: { options: [], make: () => each((answer) => answer.toLowerCase()) },
  uppercase: { options: [], make: () => each((answer) => answer.toUpperCase()) },
  map: {
    options: ['mapping_dict', 'default_value'],
    make: ({ mapping_dict: mapping = {}, default_value: otherwise }) => {
      const values = new Map(Object.entries(mapping as Record<string, unknown>))
      return each((answer) => String(values.get(answer) ?? otherwise ?? 'None'))
    },
  },
  regex: {
    options: ['regex_pattern', 'group_select', 'fallback'],
    make: (options) => each(regexStep(options)),
  },
  custom: {
    options: ['filter_fn'],
    make: ({ filter_fn: named }, where) => {
      if (!(named instanceof Builtin)) throw new Error('filter_fn must be !builtin NAME')
      const process = textProcessing(named.name, where)
      return (answers, doc) => answers.map((answer) => process(answer, doc))
    },
  },
  multi_choice_regex: {
    options: ['regex_pattern', 'group_select', 'fallback', 'ignore_case', 'ignore_punctuation', 'regexes_to_ignore'],
    make: multiChoiceStep,
  },
}

const defaultPattern = '#### (\\-?[0-9\\.\\,]+)'

function mostCommon(answers: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  // Of several, the one that came first.
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))[0]
}

interface RegexOptions {
  readonly pattern: RegExp
  readonly select: number
  readonly fallback: string
}

function regexOptions(options: Options): RegexOptions {
  const { regex_pattern: pattern = defaultPattern, group_select: select = 0, fallback = '[invalid]' } = options
  if (typeof pattern !== 'string') throw new Error('regex_pattern must be a text')
  if (typeof select !== 'number' || !Number.isInteger(select)) throw new Error('group_select must be a whole number')
  if (typeof fallback !== 'string') throw new Error('fallback must be a text')
  return { pattern: pythonRegex(pattern), select, fallback }
}

function regexStep(options: Options): (answer: string) => string {
  const { pattern, select, fallback } = regexOptions(options)
  return (answer) => {
    const found = findAll(pattern, answer)
    if (found.length === 0) return fallback
    const match = found.at(select)
    if (match === undefined) throw usageError(`group_select: there is no match number ${select}, there are ${found.length}`)
    const text = typeof match === 'string' ? match : (match.find((group) => group !== '') ?? fallback)
    return strip(text)
  }
}

/** A letter in brackets, else the text of a choice, else a letter behind a colon. */
function multiChoiceStep(options: Options): Step {
  const { pattern, select, fallback } = regexOptions(options)
  const ignored = ((options.regexes_to_ignore ?? []) as string[]).map((source) => pythonRegex(source))
  const plain = (text: string): string => {
    let left = text
    for (const regex of ignored) left = left.replace(regex, '')
    if (options.ignore_case === true) left = left.toLowerCase()
    return options.ignore_punctuation === true ? left.replace(/\p{P}/gu, '') : left
  }
  const find = (regex: RegExp, text: string, named: ReadonlyMap<string, string> = new Map()): string => {
    const match = findAll(regex, text).at(select)
    if (match === undefined) return ''
    const found = strip(typeof match === 'string' ? match : (match.find((group) => group !== '') ?? ''))
    return named.get(found) ?? found
  }
  return (answers, doc) => {
    const { choices } = doc
    if (!Array.isArray(choices)) throw usageError('multi_choice_regex: the document has no field choices with a list')
    const texts = choices.map((choice) => plain(strip(String(choice))))
    const letters = choices.map((_, i) => String.fromCharCode(65 + i))
    const byText = new Map(texts.map((text, i) => [text, `(${letters[i]})`]))
    const byLetter = new Map(letters.map((letter) => [letter, `(${letter})`]))
    const longestFirst = texts.toSorted((a, b) => b.length - a.length).map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    const textRegex = new RegExp(longestFirst.join('|'), 'gu')
    const letterRegex = new RegExp(`:\\s*(${letters.join('|')})`, 'gu')
    return answers.map(
      (answer) =>
        find(pattern, answer) || find(textRegex, plain(answer), byText) || find(letterRegex, answer, byLetter) || fallback,
    )
  }
}

/** The task's filters; without any, the first answer as it is, or all programs. @throws unsupported error naming file and filter */
export function taskFilters(config: TaskConfig): Filter[] {
  const { raw, file } = config
  const isCode = writesPrograms(config)
  if (!raw.filter_list) return [{ name: 'none', apply: (answers) => (isCode && answers.length > 1 ? answers : answers[0]!) }]
  if (isCode && raw.filter_list.length !== 1)
    throw unsupportedError(`${file}: filter_list: programs are judged behind one filter, there are ${raw.filter_list.length}`, {
      file,
    })
  return raw.filter_list.map(({ name, filter }) => {
    const made = filter.map((step) => makeStep(step, `${file}: filter_list, ${name}`))
    const one = filter.at(-1)?.function === takesOne
    return {
      name,
      apply(answers, doc) {
        const left = made.reduce<readonly string[]>((list, step) => step(list, doc), answers)
        return one ? left[0]! : left
      },
    }
  })
}

function makeStep({ function: name, ...options }: FilterStep, where: string): Step {
  const row = Object.hasOwn(steps, name) ? steps[name] : undefined
  if (!row)
    throw unsupportedError(`${where}: the filter ${name} is not supported; there are ${Object.keys(steps).join(', ')}`, {
      found: name,
    })
  const unknown = Object.keys(options).find((option) => !row.options.includes(option))
  if (unknown) throw usageError(`${where}: ${name} has no option ${unknown}`, { found: unknown })
  try {
    return row.make(options, where)
  } catch (cause) {
    throw usageError(`${where}: ${name}: ${(cause as Error).message}`, { cause })
  }
}
