/** What a loaded model answers to requests, exactly as lm-evaluation-harness asks transformers (models/huggingface.py). */
import { usageError } from '../../errors.ts'
import { normaliserOf, rowTokensPerStep, Scheduler, type StepResult, type TextModel } from '../../generation/index.ts'
import type { Tokenizer } from '../../tokenizer/index.ts'
import type { Answer } from './metrics.ts'
import { rightStrip } from './python/text.ts'
import type { Request } from './requests.ts'

/** Who answers. */
export interface Answerer {
  /** All requests of a question together: what they share is computed once. @param repeats of texts that are written */
  answer(requests: readonly Request[], options: AnswerOptions): Promise<readonly Answer[]>
}

export interface AnswerOptions {
  readonly repeats: number
  /** Of texts that are drawn: another for each question. */
  readonly seed: number
  readonly signal?: AbortSignal | undefined
}

export interface ModelAnswererOptions {
  /** Streams; default: the model's largest. */
  readonly p?: number | undefined
  /** Prompts that do not fit lose their beginning, as the harness cuts them. Default: they are refused. */
  readonly truncate?: boolean | undefined
}

/** Answers of a model with P streams. Several may share one model's scheduler. */
export class ModelAnswerer implements Answerer {
  readonly #model: TextModel
  readonly #scheduler: Scheduler
  readonly #p: number | undefined
  readonly #truncate: boolean

  constructor(model: TextModel, { p, truncate = false }: ModelAnswererOptions = {}) {
    this.#model = model
    this.#scheduler = new Scheduler(model.engine, {
      maxCachedTokens: cachedSteps * rowTokensPerStep * (p ?? model.model.defaultP),
    })
    this.#p = p
    this.#truncate = truncate
  }

  async answer(requests: readonly Request[], options: AnswerOptions): Promise<readonly Answer[]> {
    const read = new PromptReads(this.#scheduler, this.#p, options.signal)
    const answers = requests.map((request) => this.#start(request, options, read))
    read.submit()
    return await Promise.all(answers)
  }

  #start(request: Request, options: AnswerOptions, read: PromptReads): Promise<Answer> {
    switch (request.kind) {
      case 'loglikelihood':
        return this.#logLikelihood(request, read)
      case 'loglikelihood_rolling':
        return this.#rolling(request.text, read)
      case 'generate_until':
        return this.#write(request, options)
    }
  }

  get #context(): number {
    return this.#model.model.config.maxPositionEmbeddings
  }

  async #logLikelihood(
    { context, continuation }: Extract<Request, { kind: 'loglikelihood' }>,
    read: PromptReads,
  ): Promise<Answer> {
    const { tokenizer } = this.#model
    const [before, after] = encodePair(tokenizer, context, continuation)
    if (after.length === 0) throw usageError('an answer has no token of its own; it must add something to the question')
    const ids = [...before, ...after]
    const over = ids.length - 1 - this.#context
    if (over > 0 && (!this.#truncate || after.length > this.#context)) throw tooLong(ids.length, this.#context)
    const kept = over > 0 ? ids.slice(over) : ids
    return { kind: 'loglikelihood', ...(await read.score(kept, kept.length - after.length)) }
  }

  async #rolling(text: string, read: PromptReads): Promise<Answer> {
    const { tokenizer } = this.#model
    const ids = encode(tokenizer, text)
    const context = this.#context
    const windows: Promise<Scored>[] = []
    for (let done = 0; done < ids.length; ) {
      const end = Math.min(ids.length, done + context)
      const before = done === 0 ? prefixToken(tokenizer) : ids[done - 1]!
      windows.push(read.score([before, ...ids.slice(done, end)], 1))
      done = end
    }
    const scores = await Promise.all(windows)
    return { kind: 'loglikelihood_rolling', logLikelihood: scores.reduce((sum, { logLikelihood }) => sum + logLikelihood, 0) }
  }

  async #write(
    { context, settings }: Extract<Request, { kind: 'generate_until' }>,
    { repeats, seed, signal }: AnswerOptions,
  ): Promise<Answer> {
    const { tokenizer } = this.#model
    const room = this.#context - settings.maxTokens
    if (room < 1)
      throw usageError(
        `max_gen_toks: ${settings.maxTokens} tokens do not fit the model's context of ${this.#context}; ask for fewer, as with --gen-kwargs max_gen_toks=${Math.max(1, Math.floor(this.#context / 2))}`,
      )
    let promptIds = encode(tokenizer, context)
    if (promptIds.length > room && !this.#truncate) throw tooLong(promptIds.length + settings.maxTokens, this.#context)
    promptIds = promptIds.slice(-room)
    const count = settings.temperature === 0 ? 1 : repeats
    const written = await Promise.all(
      Array.from({ length: count }, (_, i) => this.#writeOne(promptIds, settings, seed * repeats + i, signal)),
    )
    // Greedy texts are the same each time.
    return { kind: 'generate_until', texts: Array.from({ length: repeats }, (_, i) => written[i % count]!) }
  }

  async #writeOne(
    promptIds: readonly number[],
    { until, maxTokens, temperature, topP, topK }: Extract<Request, { kind: 'generate_until' }>['settings'],
    seed: number,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { tokenizer, stopTokenIds } = this.#model
    const stops = until.filter((stop) => stop !== '')
    const longest = Math.max(0, ...stops.map((stop) => stop.length))
    const ids: number[] = []
    // Special tokens end a text where a stop spells them, and are no part of it.
    const decoder = tokenizer.streamDecoder({ after: promptIds })
    let tail = ''
    await this.#scheduler.submit({
      promptIds,
      maxTokens,
      p: this.#p,
      sampling: { temperature, topP, topK, seed },
      stopTokenIds,
      signal,
      onToken: ({ id }) => {
        ids.push(id)
        tail += decoder.push(id)
        if (stops.some((stop) => tail.includes(stop))) return true
        if (tail.length > 2 * longest) tail = tail.slice(tail.length - longest)
        return false
      },
    })
    const text = tokenizer.decode(ids, { skipSpecial: true })
    return stops.reduce((left, stop) => left.split(stop)[0]!, text)
  }
}

/** What runs at a time holds as many tokens as so many steps compute. */
const cachedSteps = 32

const tooLong = (length: number, context: number) =>
  usageError(
    `prompt and answer have ${length} tokens, the model's context is ${context}; lower --num-fewshot, or let --truncate cut beginnings`,
    { expected: context, found: length },
  )

interface Scored {
  readonly logLikelihood: number
  readonly isGreedy: boolean
}

interface Wanted {
  readonly ids: readonly number[]
  readonly from: number
  readonly done: (scored: Scored) => void
  readonly fail: (error: unknown) => void
}

/** Texts to be scored, of which those that differ in their last token only are read once. */
class PromptReads {
  readonly #scheduler: Scheduler
  readonly #p: number | undefined
  readonly #signal: AbortSignal | undefined
  readonly #wanted = new Map<string, Wanted[]>()

  constructor(scheduler: Scheduler, p: number | undefined, signal: AbortSignal | undefined) {
    this.#scheduler = scheduler
    this.#p = p
    this.#signal = signal
  }

  /** Of ids from index `from` on, which is at least 1. */
  score(ids: readonly number[], from: number): Promise<Scored> {
    return new Promise((done, fail) => {
      const key = ids.slice(0, -1).join(' ')
      const others = this.#wanted.get(key)
      const wanted = { ids, from, done, fail }
      if (others) others.push(wanted)
      else this.#wanted.set(key, [wanted])
    })
  }

  submit(): void {
    for (const wanted of this.#wanted.values()) {
      this.#read(wanted).catch((error) => {
        for (const { fail } of wanted) fail(error)
      })
    }
  }

  async #read(wanted: readonly Wanted[]): Promise<void> {
    const promptIds = wanted[0]!.ids.slice(0, -1)
    const sums = wanted.map(() => ({ logLikelihood: 0, isGreedy: true }))
    const positionsFrom = Math.min(...wanted.map(({ from }) => from)) - 1
    await this.#scheduler.submit({
      promptIds,
      maxTokens: 0,
      p: this.#p,
      signal: this.#signal,
      positionsFrom,
      normalised: true,
      onPositions: (at, result) => addPositions(wanted, sums, at, result, this.#p ?? this.#scheduler.engine.model.defaultP),
    })
    for (const [i, { done }] of wanted.entries()) done(sums[i]!)
  }
}

function addPositions(
  wanted: readonly Wanted[],
  sums: { logLikelihood: number; isGreedy: boolean }[],
  at: number,
  result: StepResult,
  p: number,
): void {
  const { logits, streamWeights, largest } = result
  const rows = streamWeights.length / p
  const width = logits.length / rows
  for (let row = 0; row < rows; row++) {
    const values = logits.subarray(row * width, (row + 1) * width)
    const position = at + row
    const normaliser = normaliserOf(result, rows, row)
    const top = largest?.[row] ?? -Infinity
    for (const [i, { ids, from }] of wanted.entries()) {
      if (position + 1 < from) continue
      const id = ids[position + 1]!
      const sum = sums[i]!
      sum.logLikelihood += values[id]! - normaliser
      // The lowest id among equals, as argmax gives it.
      sum.isGreedy &&= !(values[id]! < top) && !hasLarger(values, id)
    }
  }
}

function hasLarger(values: Float32Array, id: number): boolean {
  const value = values[id]!
  for (let i = 0; i < values.length; i++) if (values[i]! > value || (values[i] === value && i < id)) return true
  return false
}

/** lm_eval's `tok_encode`: special tokens count, and a BOS that is spelled is not added again. */
function encode(tokenizer: Tokenizer, text: string): number[] {
  const prefix = prefixToken(tokenizer)
  const addSpecial = !text.startsWith(tokenizer.decode([prefix]))
  return tokenizer.encode(text, { allowSpecial: true, addSpecial })
}

/** What stands before a text that nothing comes before. @throws usage error for a tokenizer without BOS and EOS */
function prefixToken(tokenizer: Tokenizer): number {
  const id = tokenizer.bosTokenId ?? tokenizer.eosTokenIds[0]
  if (id !== undefined && id !== null) return id
  throw usageError('the tokenizer has neither a BOS nor an EOS token, so that an empty context cannot be scored from')
}

/** Ids of a context and of what continues it: white space that ends the context belongs to the continuation. */
function encodePair(tokenizer: Tokenizer, context: string, continuation: string): [number[], number[]] {
  if (context === '') {
    const prefix = prefixToken(tokenizer)
    const ids = tokenizer.encode(continuation, { allowSpecial: true, addSpecial: false })
    return ids[0] === prefix ? [ids.slice(0, 1), ids.slice(1)] : [[prefix], ids]
  }
  const bare = rightStrip(context)
  const before = encode(tokenizer, bare)
  // A context of white space only has no ids of its own.
  const whole = encode(tokenizer, context + continuation)
  return [before, whole.slice(before.length)]
}
