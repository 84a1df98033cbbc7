/** Documents to what a model is asked: prompts with their examples, and the answers to score or to write. */
import { isParscaleError, ParscaleError, usageError } from '../../errors.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'
import type { Document, GenerationSettings, TaskConfig } from './config.ts'
import { DocumentReader, type Target } from './documents.ts'
import { asConversation, asOneMessage, join, needsDelimiter, plainText, type Turn, turn } from './messages.ts'
import { isSpace } from './python/text.ts'
import { createSampler } from './sampler.ts'

/** What a model is asked. */
export type Request =
  /** How probable a continuation is, and whether it is the most probable one. */
  | { readonly kind: 'loglikelihood'; readonly context: string; readonly continuation: string }
  /** How probable a text is as a whole, however long. */
  | { readonly kind: 'loglikelihood_rolling'; readonly text: string }
  /** What follows. */
  | { readonly kind: 'generate_until'; readonly context: string; readonly settings: GenerationSettings }

/** One question. */
export interface Item {
  readonly id: number
  readonly doc: Document
  readonly target: Target
  /** The choices, where the task has some. */
  readonly choices: readonly string[]
  readonly requests: readonly Request[]
}

/** A task with its data, ready to ask. */
export interface BuiltTask {
  readonly config: TaskConfig
  readonly items: readonly Item[]
  /** Questions there are; `items` are fewer with a limit. */
  readonly size: number
  readonly numFewshot: number
  /** Choices are the questions, and the answer is one: `doc_to_text` gives the number of the right one. */
  readonly multipleInputs: boolean
  readonly multipleTargets: boolean
  readonly reader: DocumentReader
}

/** A task's splits, already read. */
export interface TaskData {
  readonly questions: readonly Document[]
  /** What examples are drawn from. */
  readonly examples: readonly Document[]
}

export interface BuildOptions {
  /** As the harness' --num_fewshot: in place of the task's own, but where that is 0. */
  readonly numFewshot?: number | undefined
  /** How many questions; below 1, a share of them. */
  readonly limit?: number | undefined
  /** Of few-shot examples. */
  readonly seed?: number | undefined
  readonly systemInstruction?: string | undefined
  /** Writes turns as the model was trained on them. @param open the last turn, an answer's beginning, goes on */
  readonly chatTemplate?: ((messages: readonly ChatMessage[], open: boolean) => string) | undefined
  /** Examples as turns of their own. */
  readonly fewshotAsMultiturn?: boolean | undefined
}

/** The harness' seed for examples. */
export const defaultSeed = 1234

/** @throws usage and checkpoint errors that name task, item and field */
export function buildTask(config: TaskConfig, { questions, examples }: TaskData, options: BuildOptions = {}): BuiltTask {
  const { limit } = options
  const [first] = questions
  if (!first) throw usageError(`${config.task}: its data set has no questions; check its splits`, { file: config.file })
  const reader = new DocumentReader(config, Object.keys(first))
  const at = <T>(id: number, work: () => T): T => {
    try {
      return work()
    } catch (error) {
      if (!isParscaleError(error)) throw error
      throw new ParscaleError(error.kind, `${config.task}, item ${id}: ${error.message}`, { ...error.facts, file: config.file })
    }
  }
  const { multipleInputs, multipleTargets } = at(0, () => ({
    multipleInputs: config.choice !== undefined && typeof reader.text(first) === 'number',
    multipleTargets: Array.isArray(reader.target(first)),
  }))
  const numFewshot = config.numFewshot === 0 ? 0 : (options.numFewshot ?? config.numFewshot ?? 0)
  const sampler = createSampler(config.fewshot.sampler, indexed(config, examples), options.seed ?? defaultSeed)
  const prompts = new Prompts(config, reader, multipleInputs, options)
  const sameSplit = config.fewshot.split === (config.raw.test_split ?? undefined)
  const count = limit === undefined ? questions.length : limit < 1 ? Math.ceil(questions.length * limit) : limit
  const items = questions.slice(0, count).map((doc, id) =>
    at(id, () => {
      const drawn = numFewshot > 0 ? sampler.sample(numFewshot, sameSplit ? doc : undefined) : []
      const contexts = prompts.contexts(doc, drawn)
      const target = reader.target(doc)
      const choices = reader.choices(doc)
      return { id, doc, target, choices, requests: requestsOf(config, contexts, target, choices, options, multipleInputs) }
    }),
  )
  return { config, items, size: questions.length, numFewshot, multipleInputs, multipleTargets, reader }
}

function indexed({ fewshot, task, file }: TaskConfig, examples: readonly Document[]): readonly Document[] {
  return (
    fewshot.indices?.map((i) => {
      const example = examples[i]
      if (example) return example
      throw usageError(`${task}: fewshot_config.fewshot_indices: there is no example ${i}, the split has ${examples.length}`, {
        file,
      })
    }) ?? examples
  )
}

function requestsOf(
  config: TaskConfig,
  contexts: readonly string[],
  target: Target,
  choices: readonly string[],
  { chatTemplate }: BuildOptions,
  multipleInputs: boolean,
): Request[] {
  const [context = ''] = contexts
  const asked = (context: string, continuation: string): Request => {
    if (continuation === '')
      throw usageError('an answer is empty, nothing of it can be scored; check doc_to_choice and doc_to_target')
    return { kind: 'loglikelihood', context, continuation }
  }
  switch (config.outputType) {
    case 'loglikelihood':
      return [asked(context, mustBeText(target))]
    case 'loglikelihood_rolling':
      return [{ kind: 'loglikelihood_rolling', text: mustBeText(target) }]
    case 'generate_until':
      return [{ kind: 'generate_until', context, settings: config.generation }]
    case 'multiple_choice': {
      // A chat template has written what stands before an answer.
      const { genPrefix, targetDelimiter } = config
      const delimiter = chatTemplate && !(genPrefix && !isSpace(genPrefix.at(-1))) ? '' : targetDelimiter
      if (choices.length === 0) throw usageError('doc_to_choice: there are no choices')
      if (multipleInputs) return contexts.map((each) => asked(each, delimiter + mustBeText(target)))
      return choices.map((choice) => asked(context, delimiter + choice))
    }
  }
}

function mustBeText(target: Target): string {
  if (typeof target === 'string') return target
  throw usageError(`doc_to_target: expected a text, got ${JSON.stringify(target)}`)
}

/** Writes questions with their examples. What an example is written as is kept. */
class Prompts {
  readonly #config: TaskConfig
  readonly #reader: DocumentReader
  readonly #multipleInputs: boolean
  readonly #options: BuildOptions
  readonly #examples = new Map<Document, readonly Turn[]>()

  constructor(config: TaskConfig, reader: DocumentReader, multipleInputs: boolean, options: BuildOptions) {
    this.#config = config
    this.#reader = reader
    this.#multipleInputs = multipleInputs
    this.#options = options
  }

  /** One, or one for each choice where these are the questions. */
  contexts(doc: Document, examples: readonly Document[]): string[] {
    const { description, fewshotDelimiter, genPrefix, targetDelimiter } = this.#config
    const described = this.#reader.resolve(doc, description, 'description')
    const system = join(this.#options.systemInstruction ?? '', described, fewshotDelimiter)
    const before = [...(system === '' ? [] : [turn('system', system)]), ...examples.flatMap((example) => this.#example(example))]
    const begun = this.#reader.resolve(doc, genPrefix, 'gen_prefix')
    if (this.#multipleInputs) {
      return this.#reader.choices(doc).map((question) => this.#write([...before, ...questionTurns(question, '', begun)], begun))
    }
    const question = this.#reader.text(doc)
    if (typeof question !== 'string') throw usageError(`doc_to_text: expected a text, got ${JSON.stringify(question)}`)
    return [this.#write([...before, ...questionTurns(question, targetDelimiter, begun)], begun)]
  }

  #write(turns: readonly Turn[], begun: string): string {
    const { chatTemplate, fewshotAsMultiturn } = this.#options
    if (!chatTemplate) return plainText(turns)
    return chatTemplate(fewshotAsMultiturn ? asConversation(turns) : asOneMessage(turns), begun !== '')
  }

  #example(doc: Document): readonly Turn[] {
    const known = this.#examples.get(doc)
    if (known) return known
    const { fewshot } = this.#config
    const choices = fewshot.choice === undefined ? undefined : this.#reader.choices(doc, fewshot.choice)
    const asked = this.#reader.text(doc, fewshot.text)
    const target = this.#reader.target(doc, fewshot.target)
    const question = this.#multipleInputs ? choices?.[asked as number] : asked
    if (typeof question !== 'string')
      throw usageError(`doc_to_text of an example: expected a text, got ${JSON.stringify(question)}`)
    const first = Array.isArray(target) ? target[0] : target
    const answer = !this.#multipleInputs && choices && typeof target === 'number' ? choices[target] : first
    const begun = this.#reader.resolve(doc, fewshot.genPrefix, 'gen_prefix')
    let turns: Turn[]
    if (answer === '') turns = questionTurns(question, fewshot.targetDelimiter, begun)
    else {
      if (typeof answer !== 'string')
        throw usageError(`doc_to_target of an example: expected a text or the number of a choice, got ${JSON.stringify(target)}`)
      const delimiter = begun === '' || needsDelimiter(question, begun) ? fewshot.targetDelimiter : ''
      turns = [turn('user', question, delimiter), turn('assistant', join(begun, answer, ' '), fewshot.fewshotDelimiter)]
    }
    this.#examples.set(doc, turns)
    return turns
  }
}

/** A question without its answer, but for the beginning that all answers have. */
function questionTurns(question: string, targetDelimiter: string, begun: string): Turn[] {
  if (begun === '') return [turn('user', question)]
  return [turn('user', question, needsDelimiter(question, begun) ? targetDelimiter : ''), turn('assistant', begun)]
}
