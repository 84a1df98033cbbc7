/** Figures of one question, and of all of them (lm_eval.api.metrics). */
import { unsupportedError, usageError } from '../../errors.ts'
import { type ResultProcessing, resultProcessing } from './builtin/index.ts'
import { type MetricConfig, type OutputType, type TaskConfig, writesPrograms } from './config.ts'
import { PythonRandom } from './python/random.ts'
import { pythonRegex } from './python/regex.ts'
import { codePoints, pythonString, utf8Length, wordCount } from './python/text.ts'
import type { BuiltTask, Item } from './requests.ts'

/** What a model answers to one request. */
export type Answer =
  | { readonly kind: 'loglikelihood'; readonly logLikelihood: number; readonly isGreedy: boolean }
  | { readonly kind: 'loglikelihood_rolling'; readonly logLikelihood: number }
  /** As often as the task repeats. */
  | { readonly kind: 'generate_until'; readonly texts: readonly string[] }

/** A number, or a sum with what it is divided by: log-likelihood and length; or several values of one question. */
export type Value = number | readonly number[]

/** How values of all questions become one figure. */
export interface Aggregation {
  readonly name: string
  of(values: readonly Value[]): number
  /** Undefined where none is known. */
  standardError?: ((values: readonly Value[]) => number) | undefined
}

export interface Metric {
  readonly name: string
  /** Of pass@k: programs drawn of those that a question has. */
  readonly k?: number | undefined
  readonly aggregation: Aggregation
  readonly higherIsBetter: boolean
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const numbers = (values: readonly Value[]) => values as readonly number[]

/** Of a sample, with n - 1. */
export function deviation(values: readonly number[]): number {
  const mean = meanOf(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
}

export const meanStandardError = (values: readonly number[]): number => deviation(values) / Math.sqrt(values.length)

const ratio = (values: readonly Value[]): number => {
  let [sum, weight] = [0, 0]
  for (const value of values) {
    const [a, b] = value as readonly [number, number]
    sum += a
    weight += b
  }
  return sum / weight
}

/** The harness' draws: of its 100,000 each thousand has a seed of its own. */
const bootstraps = 100
const drawsOfEach = 1000

function bootstrapError(of: (values: readonly Value[]) => number, values: readonly Value[]): number {
  const drawn: number[] = []
  for (let seed = 0; seed < bootstraps; seed++) {
    const random = new PythonRandom(seed)
    for (let i = 0; i < drawsOfEach; i++) drawn.push(of(random.choices(values, values.length)))
  }
  return deviation(drawn)
}

const bootstrapped = (name: string, of: Aggregation['of']): Aggregation => ({
  name,
  of,
  standardError: (values) => bootstrapError(of, values),
})

const aggregations: Readonly<Record<string, Aggregation>> = {
  mean: {
    name: 'mean',
    of: (values) => meanOf(numbers(values)),
    standardError: (values) => meanStandardError(numbers(values)),
  },
  median: bootstrapped('median', (values) => numbers(values).toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!),
  perplexity: bootstrapped('perplexity', (values) => Math.exp(-meanOf(numbers(values)))),
  weighted_perplexity: { name: 'weighted_perplexity', of: (values) => Math.exp(-ratio(values)) },
  bits_per_byte: { name: 'bits_per_byte', of: (values) => -ratio(values) / Math.LN2 },
  /** Of all instructions of all questions (IFEval). */
  instruction_accuracy: { name: 'instruction_accuracy', of: (values) => meanOf(values.flatMap((value) => value as number[])) },
}

interface MetricRow {
  readonly for: readonly OutputType[]
  readonly aggregation: string
  readonly higherIsBetter: boolean
}

const choice = ['multiple_choice'] as const

const metricRows: Readonly<Record<string, MetricRow>> = {
  acc: { for: ['loglikelihood', ...choice], aggregation: 'mean', higherIsBetter: true },
  acc_norm: { for: choice, aggregation: 'mean', higherIsBetter: true },
  acc_bytes: { for: choice, aggregation: 'mean', higherIsBetter: true },
  exact_match: { for: [...choice, 'generate_until'], aggregation: 'mean', higherIsBetter: true },
  perplexity: { for: ['loglikelihood'], aggregation: 'perplexity', higherIsBetter: false },
  word_perplexity: { for: ['loglikelihood_rolling'], aggregation: 'weighted_perplexity', higherIsBetter: false },
  byte_perplexity: { for: ['loglikelihood_rolling'], aggregation: 'weighted_perplexity', higherIsBetter: false },
  bits_per_byte: { for: ['loglikelihood_rolling'], aggregation: 'bits_per_byte', higherIsBetter: false },
}

const defaults: Readonly<Record<OutputType, readonly string[]>> = {
  multiple_choice: ['acc', 'acc_norm'],
  loglikelihood: ['perplexity', 'acc'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  generate_until: ['exact_match'],
}

/** The task's metrics. @throws unsupported error naming file and metric */
export function taskMetrics(config: TaskConfig): Metric[] {
  const { raw, file, outputType } = config
  if (writesPrograms(config)) return programMetrics(config)
  const list: readonly MetricConfig[] = raw.metric_list ?? defaults[outputType].map((metric) => ({ metric }))
  return list.map(({ metric: name, aggregation, higher_is_better: higher }) => {
    const row = Object.hasOwn(metricRows, name) ? metricRows[name] : undefined
    if (!raw.process_results && !row?.for.includes(outputType)) {
      const known = Object.entries(metricRows).filter(([, known]) => known.for.includes(outputType))
      throw unsupportedError(
        `${file}: metric_list: ${name} is not supported for ${outputType}; there are ${known.map(([each]) => each).join(', ')}`,
        { file, found: name },
      )
    }
    const asked = typeof aggregation === 'string' ? aggregation : (aggregation?.name ?? row?.aggregation ?? 'mean')
    const found = Object.hasOwn(aggregations, asked) ? aggregations[asked] : undefined
    if (!found)
      throw unsupportedError(
        `${file}: metric_list: the aggregation ${asked} is not supported; there are ${Object.keys(aggregations).join(', ')}`,
        { file, found: asked },
      )
    return { name, aggregation: found, higherIsBetter: higher ?? row?.higherIsBetter ?? true }
  })
}

const programMetricNames = ['pass_at_1', 'pass_at_k']

/** By the names that the harness' figures have: `pass_at_1`, or `pass@1` and so on of `pass_at_k`. */
function programMetrics({ raw, file, outputType, repeats }: TaskConfig): Metric[] {
  return raw.metric_list!.flatMap(({ metric: name, k, ...options }) => {
    const where = `${file}: metric_list: ${name}`
    if (outputType !== 'generate_until')
      throw unsupportedError(`${where}: is not supported for ${outputType}; programs are of generate_until`, {
        file,
        found: name,
      })
    if (!programMetricNames.includes(name))
      throw unsupportedError(`${where}: cannot stand beside ${programMetricNames.join(' or ')}, which judge programs`, {
        file,
        found: name,
      })
    const unknown = Object.keys(options).find((option) => option !== 'aggregation' && option !== 'higher_is_better')
    if (unknown || (options.aggregation ?? 'mean') !== 'mean')
      throw unsupportedError(
        `${where}: ${unknown ? `the option ${unknown}` : 'another aggregation than mean'} is not supported`,
        {
          file,
        },
      )
    const ks = [name === 'pass_at_1' ? 1 : k].flat()
    const wrong = ks.find((each) => !Number.isInteger(each) || (each as number) < 1)
    if (wrong !== undefined || ks[0] === undefined)
      throw usageError(`${where}: k: expected a whole number above 0 or a list of them`, { file, found: k })
    return (ks as number[]).map((each): Metric => {
      if (each > repeats)
        throw usageError(`${where}: k = ${each} needs as many programs of each problem, repeats is ${repeats}`, { file })
      return {
        name: name === 'pass_at_1' ? name : `pass@${each}`,
        k: each,
        aggregation: aggregations.mean!,
        higherIsBetter: options.higher_is_better ?? true,
      }
    })
  })
}

/** Judges answers to a question: its metrics by name. @param answers filtered: a text (or texts) where the model wrote */
export type Judge = (item: Item, answers: readonly FilteredAnswer[]) => Readonly<Record<string, Value>>

export type FilteredAnswer = Exclude<Answer, { kind: 'generate_until' }> | string | readonly string[]

/** @throws unsupported error for options of metrics that are not known */
export async function taskJudge(task: BuiltTask, metrics: readonly Metric[]): Promise<Judge> {
  const { config } = task
  const names = new Set(metrics.map(({ name }) => name))
  const only = (values: Record<string, Value>) => Object.fromEntries(Object.entries(values).filter(([name]) => names.has(name)))
  if (config.raw.process_results) {
    const process: ResultProcessing = await resultProcessing(config.raw.process_results.name, config.file)
    return (item, answers) => only(process(item.doc, answers.map(textOf)))
  }
  switch (config.outputType) {
    case 'loglikelihood':
      return (_, [answer]) => {
        const { logLikelihood, isGreedy } = scored(answer)
        return only({ perplexity: logLikelihood, acc: Number(isGreedy) })
      }
    case 'loglikelihood_rolling':
      return ({ target }, [answer]) => {
        const { logLikelihood } = answer as { logLikelihood: number }
        const bytes = utf8Length(target as string)
        return only({
          word_perplexity: [logLikelihood, wordCount(target as string)],
          byte_perplexity: [logLikelihood, bytes],
          bits_per_byte: [logLikelihood, bytes],
        })
      }
    case 'multiple_choice':
      return (item, answers) => only(judgeChoice(task, item, answers.map(scored)))
    case 'generate_until': {
      const compare = exactMatch(config)
      return (item, [answer]) => {
        const text = textOf(answer!)
        return { exact_match: judgeText(task, item, (gold) => compare(text, gold)) }
      }
    }
  }
}

function scored(answer: FilteredAnswer | undefined): { logLikelihood: number; isGreedy: boolean } {
  return answer as { logLikelihood: number; isGreedy: boolean }
}

function textOf(answer: FilteredAnswer): string {
  if (typeof answer === 'string') return answer
  throw usageError('filter_list: the last step must leave one text; end it with take_first')
}

function judgeChoice(
  task: BuiltTask,
  item: Item,
  answers: readonly { logLikelihood: number; isGreedy: boolean }[],
): Record<string, Value> {
  const { choices, doc, target } = item
  const values = answers.map(({ logLikelihood }) => logLikelihood)
  const best = argmax(values)
  const bestByLength = argmax(values.map((value, i) => value / codePoints(choices[i]!)))
  const bestByBytes = argmax(values.map((value, i) => value / utf8Length(choices[i]!)))
  const inRange = (index: number) => (index < choices.length ? index : -100)
  const gold = task.multipleInputs ? task.reader.text(doc) : target
  const right: number[] = Array.isArray(gold)
    ? gold.map((one) => inRange(one as number))
    : [typeof gold === 'number' ? inRange(gold) : choices.indexOf(gold as string)]
  const isRight = (index: number) => Number(right.includes(index))
  return {
    acc: isRight(best),
    acc_norm: isRight(bestByLength),
    acc_bytes: isRight(bestByBytes),
    exact_match: Number(right.some((index) => index >= 0 && answers[index]!.isGreedy)),
  }
}

/** The first of the largest, as numpy's. */
function argmax(values: readonly number[]): number {
  let best = 0
  for (let i = 1; i < values.length; i++)
    if (values[i]! > values[best]! || (Number.isNaN(values[i]!) && !Number.isNaN(values[best]!))) best = i
  return best
}

function judgeText(task: BuiltTask, { target, choices }: Item, matches: (gold: string) => boolean): number {
  if (task.config.choice !== undefined) return Number(matches(choices[target as number] ?? ''))
  if (task.multipleTargets) return Number([target].flat().some((gold) => matches(pythonString(gold))))
  return Number(matches(pythonString(target)))
}

const exactMatchOptions = ['regexes_to_ignore', 'ignore_case', 'ignore_punctuation', 'ignore_numbers']
const notOptions = ['metric', 'aggregation', 'higher_is_better', 'hf_evaluate']
/** string.punctuation */
const punctuation = /[!-/:-@[-`{-~]/g

function exactMatch({ raw, file }: TaskConfig): (answer: string, gold: string) => boolean {
  const options: Record<string, unknown> = raw.metric_list?.find(({ metric }) => metric === 'exact_match') ?? {}
  const unknown = Object.keys(options).find((name) => !exactMatchOptions.includes(name) && !notOptions.includes(name))
  if (unknown)
    throw unsupportedError(`${file}: metric_list: exact_match: the option ${unknown} is not supported`, { file, found: unknown })
  const ignored = ((options.regexes_to_ignore ?? []) as string[]).map((pattern) => pythonRegex(pattern))
  const plain = (text: string): string => {
    let left = text
    for (const regex of ignored) left = left.replace(regex, '')
    if (options.ignore_case === true) left = left.toLowerCase()
    if (options.ignore_punctuation === true) left = left.replace(punctuation, '')
    return options.ignore_numbers === true ? left.replace(/[0-9]/g, '') : left
  }
  return (answer, gold) => plain(answer) === plain(gold)
}
