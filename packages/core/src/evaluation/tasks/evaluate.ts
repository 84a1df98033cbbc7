/** Runs a task's questions, and what their answers come to: figures, and samples as lm-evaluation-harness writes them. */
import { isParscaleError, ParscaleError } from '../../errors.ts'
import { passAtK, type Tally } from '../code/pass-at-k.ts'
import { readInOrder } from '../read-texts.ts'
import type { Answerer } from './answers.ts'
import { writesPrograms } from './config.ts'
import { taskFilters } from './filters.ts'
import { type Answer, type FilteredAnswer, type Judge, type Metric, taskJudge, taskMetrics, type Value } from './metrics.ts'
import { floatRepr, pythonString } from './python/text.ts'
import type { BuiltTask, Item, Request } from './requests.ts'

export interface EvaluateOptions {
  /** Questions at a time. Default 8. */
  readonly atOnce?: number | undefined
  /** Of texts that are drawn. Default 0. */
  readonly seed?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Answers that are there already, by the question's number: these are not asked again. */
  readonly known?: ReadonlyMap<number, readonly Answer[]> | undefined
  /** Called as each question is answered, in the order in which they are. */
  readonly onAnswered?: ((item: Item, answers: readonly Answer[]) => void | Promise<void>) | undefined
}

/**
 * Answers to all questions, in their order.
 *
 * @throws as the answerer; errors name task and item
 */
export async function answerTask(
  { config, items }: BuiltTask,
  answerer: Answerer,
  { atOnce = 8, seed = 0, signal, known, onAnswered }: EvaluateOptions = {},
): Promise<(readonly Answer[])[]> {
  const answers: (readonly Answer[])[] = []
  const answered = readInOrder(items, atOnce, signal, async (item, signal) => {
    const before = known?.get(item.id)
    if (before) return before
    signal.throwIfAborted()
    try {
      const given = await answerer.answer(item.requests, { repeats: config.repeats, seed: seed + item.id, signal })
      await onAnswered?.(item, given)
      return given
    } catch (error) {
      if (!isParscaleError(error)) throw error
      throw new ParscaleError(error.kind, `${config.task}, item ${item.id}: ${error.message}`, error.facts)
    }
  })
  for await (const given of answered) answers.push(given)
  return answers
}

/** A metric behind one filter. */
export interface Figure {
  readonly metric: Metric
  readonly filter: string
  readonly value: number
  /** Undefined where none is known, or for one question. */
  readonly standardError: number | undefined
  /** Of each question, in their order. */
  readonly values: readonly Value[]
}

/** A line of the harness' samples_TASK.jsonl, but for its hashes (sample-files.ts). */
export type Sample = Readonly<Record<string, unknown>>

export interface TaskResult {
  readonly figures: readonly Figure[]
  readonly samples: readonly Sample[]
}

/**
 * @param predictOnly texts and no figures, as for a task that nothing here may judge
 * @param tallies of a task that writes programs, by question: how many pass. Without them it has no figures
 */
export async function taskResult(
  task: BuiltTask,
  answers: readonly (readonly Answer[])[],
  predictOnly = false,
  tallies?: readonly Tally[],
): Promise<TaskResult> {
  const isCode = writesPrograms(task.config)
  const unjudged = predictOnly || (isCode && !tallies)
  const metrics = unjudged ? [] : taskMetrics(task.config)
  const judge = unjudged ? () => ({}) : isCode ? judgePrograms(metrics, tallies!) : await taskJudge(task, metrics)
  const figures: Figure[] = []
  const samples: Sample[] = []
  for (const filter of taskFilters(task.config)) {
    const values = new Map<string, Value[]>(metrics.map(({ name }) => [name, []]))
    for (const [i, item] of task.items.entries()) {
      const filtered = answers[i]!.map(
        (answer): FilteredAnswer => (answer.kind === 'generate_until' ? filter.apply(answer.texts, item.doc) : answer),
      )
      const judged: Readonly<Record<string, Value>> = judge(item, filtered)
      for (const [name, value] of Object.entries(judged)) values.get(name)!.push(value)
      samples.push(sampleOf(item, filter.name, answers[i]!, filtered, judged))
    }
    for (const metric of metrics) figures.push(figureOf(metric, filter.name, values.get(metric.name)!))
  }
  return { figures, samples }
}

const judgePrograms =
  (metrics: readonly Metric[], tallies: readonly Tally[]): Judge =>
  ({ id }) =>
    Object.fromEntries(metrics.map(({ name, k }) => [name, passAtK(tallies[id]!, k!)]))

function figureOf(metric: Metric, filter: string, values: readonly Value[]): Figure {
  const { aggregation } = metric
  const standardError = values.length > 1 ? aggregation.standardError?.(values) : undefined
  return { metric, filter, value: aggregation.of(values), standardError, values }
}

function sampleOf(
  { id, doc, target, requests }: Item,
  filter: string,
  answers: readonly Answer[],
  filtered: readonly FilteredAnswer[],
  judged: Readonly<Record<string, Value>>,
): Sample {
  return {
    doc_id: id,
    doc,
    target: pythonString(target),
    arguments: Object.fromEntries(requests.map((request, i) => [`gen_args_${i}`, argumentsOf(request)])),
    resps: answers.map(responsesOf),
    filtered_resps: filtered.map((answer) =>
      typeof answer === 'string' ? answer : isTexts(answer) ? answer : responsesOf(answer)[0],
    ),
    filter,
    metrics: Object.keys(judged),
    ...judged,
  }
}

const isTexts = (answer: FilteredAnswer): answer is readonly string[] => Array.isArray(answer)

function argumentsOf(request: Request): Record<string, unknown> {
  switch (request.kind) {
    case 'loglikelihood':
      return { arg_0: request.context, arg_1: request.continuation }
    case 'loglikelihood_rolling':
      return { arg_0: request.text }
    case 'generate_until': {
      const { until, maxTokens, temperature } = request.settings
      return { arg_0: request.context, arg_1: { until, max_gen_toks: maxTokens, do_sample: temperature > 0, temperature } }
    }
  }
}

/** One for each repeat; numbers are texts, as the harness writes them. */
function responsesOf(answer: Answer): readonly unknown[] {
  if (answer.kind === 'generate_until') return answer.texts
  if (answer.kind === 'loglikelihood_rolling') return [floatRepr(answer.logLikelihood)]
  return [[floatRepr(answer.logLikelihood), answer.isGreedy ? 'True' : 'False']]
}
