/** Text in, text out: tokenizer and chat template around the scheduler. Streams whole characters, stops at stop strings. */
import { checkpointError, isParscaleError, ParscaleError, usageError } from '../errors.ts'
import { anySignal } from '../signals.ts'
import type { ChatMessage, ChatTemplate, Tokenizer } from '../tokenizer/index.ts'
import { overlongConversation, overlongError, overlongPrompt } from '../tokenizer/overlong.ts'
import { type BeamSearchOptions, beamSearch } from './beam-search.ts'
import type { TokenConstraint } from './constrain/index.ts'
import { Engine } from './engine.ts'
import type { Model } from './model.ts'
import { type FinishReason, type GeneratedToken, PromptCache, type PromptToken } from './request.ts'
import type { SamplingOptions } from './sampling.ts'
import { Scheduler, type SchedulerOptions } from './scheduler.ts'
import { type HeldChunk, joinChunks, type TextChunk, TextPieces, type TextToken, textToken } from './text-pieces.ts'
import { channel, drain } from './token-stream.ts'

/** Pieces that wait for a slow reader before they are joined. */
const chunksHeld = 16

/** How a text is generated: length, sampling, streams, stop texts, abort signal. */
export interface TextOptions extends Partial<SamplingOptions> {
  /** Default 256. The end of the context ends a text as well. */
  readonly maxTokens?: number
  /** Streams; default: the model's largest. */
  readonly p?: number
  /** The text ends before the first of these; they may span tokens. */
  readonly stop?: readonly string[]
  /** What may be generated, see TokenRequest. */
  readonly constrain?: TokenConstraint
  /** Special tokens that the text shows as they are spelled. Default: none. */
  readonly shownTokenIds?: readonly number[]
  /** Recognise special tokens spelled in the prompt. Default false. */
  readonly allowSpecial?: boolean
  /** So many of the most probable tokens with each token. Default 0. */
  readonly topLogprobs?: number
  /** False: tokens come without their log-probability (NaN), which takes an exponential for each token of the vocabulary. Default true. */
  readonly logProbabilities?: boolean
  /** Each stream's own most probable token with each token. Default false. */
  readonly streamChoices?: boolean
  /** Streams, from 0, that have no say, see TokenRequest. Default: none. */
  readonly withoutStreams?: readonly number[]
  /** The prompt's log-probabilities, with so many of the most probable tokens in each place. Absent: none. */
  readonly promptLogprobs?: number
  /** Whose text it is, where several share the model, see TokenRequest. */
  readonly owner?: object
  readonly signal?: AbortSignal
  /** Runs inside the engine's turn: return at once. */
  readonly onPrefill?: (done: number, total: number) => void
}

/** A finished text with its tokens and why it ended. */
export interface TextResult {
  readonly text: string
  readonly tokens: readonly TextToken[]
  readonly promptTokens: number
  /** Of these, tokens that a cache held, so that they were not computed. */
  readonly cachedTokens: number
  /** With `promptLogprobs`: the prompt's tokens. */
  readonly prompt?: readonly PromptToken[]
  readonly finishReason: FinishReason
  /** The token that ended it, which is no part of it. */
  readonly stopToken?: TextToken
  /** The stop string that ended the text. */
  readonly stopString: string | null
}

/** A loaded model with tokenizer and chat template: text in, text out. Call `dispose` to free its native memory. */
export class TextModel {
  readonly model: Model
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate | undefined
  readonly stopTokenIds: readonly number[]
  readonly engine: Engine
  readonly scheduler: Scheduler

  /** @param stopTokenIds ends of text beside those that tokenizer and configuration name */
  constructor(
    model: Model,
    tokenizer: Tokenizer,
    chatTemplate?: ChatTemplate,
    stopTokenIds: readonly number[] = [],
    scheduling: SchedulerOptions = {},
  ) {
    this.model = model
    this.tokenizer = tokenizer
    this.chatTemplate = chatTemplate
    this.stopTokenIds = [...new Set([...model.config.eosTokenIds, ...tokenizer.eosTokenIds, ...stopTokenIds])]
    this.engine = new Engine(model)
    this.scheduler = new Scheduler(this.engine, scheduling)
  }

  /**
   * Continues a prompt, piece by piece. Calls may run at the same time; they share steps.
   *
   * @throws usage error for bad options, an empty prompt or one that does not fit the context
   */
  async *stream(prompt: string, options: TextOptions = {}): AsyncGenerator<TextChunk, TextResult> {
    return yield* this.streamIds(await this.#encode(prompt, options), options)
  }

  async #encode(prompt: string, { allowSpecial, signal }: Pick<TextOptions, 'allowSpecial' | 'signal'>): Promise<number[]> {
    const context = this.model.config.maxPositionEmbeddings
    const ids = await this.tokenizer.encodeLong(prompt, { allowSpecial, signal, context })
    if (ids.length > context) throw overlongError(overlongPrompt, ids.length, context)
    return ids
  }

  /** The whole continuation at once. */
  async generate(prompt: string, options: TextOptions = {}): Promise<TextResult> {
    return await drain(this.stream(prompt, options))
  }

  /**
   * Continuations of several prompts, computed together. When one fails, the others end.
   *
   * @throws as stream; which prompt does not fit stands before the message
   */
  async generateBatch(prompts: readonly string[], options: TextOptions = {}): Promise<TextResult[]> {
    const all: number[][] = []
    for (const [i, prompt] of prompts.entries()) {
      all.push(
        await this.#encode(prompt, options).catch((error) => {
          if (prompts.length === 1 || !isParscaleError(error)) throw error
          throw new ParscaleError(error.kind, `prompt ${i + 1} of ${prompts.length}: ${error.message}`, error.facts)
        }),
      )
    }
    const failed = new AbortController()
    const signal = anySignal(options.signal, failed.signal)
    const results = all.map((ids) => drain(this.streamIds(ids, { ...options, signal })))
    return await Promise.all(results).finally(() => failed.abort())
  }

  /** Opens a conversation. @throws checkpoint error when the model has no chat template */
  chat(options: { p?: number; system?: string } = {}): Chat {
    if (!this.chatTemplate) {
      throw checkpointError(
        'this model has no chat template (chat_template.jinja or tokenizer_config.json); use generate with a prompt instead',
      )
    }
    return new Chat(this, this.chatTemplate, options)
  }

  /** The best continuations by beam search, best first. `score` is the log-probability over the length in tokens. */
  async beamSearch(
    prompt: string,
    options: Omit<BeamSearchOptions, 'promptIds'> & { allowSpecial?: boolean },
  ): Promise<{ text: string; score: number }[]> {
    const promptIds = await this.#encode(prompt, options)
    const results = await beamSearch(this.engine, { stopTokenIds: this.stopTokenIds, ...options, promptIds })
    const decoder = this.tokenizer.streamDecoder({ skipSpecial: true, after: promptIds })
    const textOf = (ids: readonly number[]) => ids.map((id) => decoder.push(id)).join('') + decoder.flush()
    return results.map(({ ids, score }) => ({ text: textOf(ids), score }))
  }

  /**
   * Continues a prompt of ids. A reader who is slower than the engine gets pieces joined, and holds up nobody; one who leaves
   * early ends the generation, which frees its rows.
   *
   * @param cache of a conversation: what the prompt shares with it is not computed again
   */
  async *streamIds(
    promptIds: readonly number[],
    options: TextOptions = {},
    cache?: PromptCache,
  ): AsyncGenerator<TextChunk, TextResult> {
    const left = new AbortController()
    const chunks = channel<HeldChunk>(chunksHeld, joinChunks)
    const held: HeldChunk[] = []
    const tell = () => {
      for (const chunk of held.splice(0)) chunks.push(chunk)
    }
    const pieces = new TextPieces(
      this.tokenizer,
      promptIds,
      options.stop ?? [],
      (chunk) => void held.push(chunk),
      options.shownTokenIds,
    )
    let stopToken: TextToken | undefined
    const finished = this.scheduler
      .submit({
        promptIds,
        cache,
        p: options.p,
        maxTokens: options.maxTokens ?? 256,
        sampling: { ...options, temperature: options.temperature ?? 1 },
        constraint: options.constrain,
        stopTokenIds: this.stopTokenIds,
        topLogprobs: options.topLogprobs,
        streamChoices: options.streamChoices,
        withoutStreams: options.withoutStreams,
        promptLogprobs: options.promptLogprobs,
        owner: options.owner,
        signal: anySignal(options.signal, left.signal),
        onPrefill: options.onPrefill,
        onToken: (token) => pieces.push(options.logProbabilities === false ? withoutNumber(token) : token),
        onTold: tell,
        onStop: (token) => {
          // Worked out for those who ask for numbers.
          if (options.topLogprobs !== undefined) stopToken = textToken(this.tokenizer, token)
        },
      })
      .then((result) => {
        pieces.end()
        tell()
        return result
      })
    finished.then(chunks.end, chunks.fail)
    try {
      for await (const chunk of chunks) yield chunk
      const { finishReason, prompt, cachedTokens } = await finished
      return {
        text: pieces.text,
        tokens: pieces.tokens,
        promptTokens: promptIds.length,
        cachedTokens,
        ...(prompt && { prompt }),
        finishReason: pieces.stopString === null ? finishReason : 'stop',
        ...(stopToken && { stopToken }),
        stopString: pieces.stopString,
      }
    } finally {
      left.abort()
    }
  }

  /** Frees what a conversation holds in the cache; an answer under way fails. */
  release(cache: PromptCache): Promise<void> {
    return this.scheduler.release(cache)
  }

  /** Frees native memory once the step under way is over. Generations that are not finished fail. */
  dispose(): Promise<void> {
    return this.engine.dispose()
  }
}

/** A conversation of several turns. What earlier turns computed is kept and not computed again. */
export class Chat {
  readonly messages: ChatMessage[]
  readonly #model: TextModel
  readonly #template: ChatTemplate
  readonly #cache: PromptCache
  #closed = false

  constructor(model: TextModel, template: ChatTemplate, options: { p?: number; system?: string }) {
    this.#model = model
    this.#template = template
    this.#cache = new PromptCache(options.p)
    this.messages = options.system === undefined ? [] : [{ role: 'system', content: options.system }]
  }

  /** Tokens of the conversation that the cache holds. */
  get cachedTokens(): number {
    return this.#cache.sequence?.length ?? 0
  }

  /**
   * Adds the user's turn and streams the answer, which becomes part of the conversation; on failure neither does. An answer may
   * end at the end of the context (`length`).
   *
   * @throws usage error for a conversation that does not fit the context: nothing of it is cut off
   */
  async *send(content: string, options: Omit<TextOptions, 'p'> = {}): AsyncGenerator<TextChunk, TextResult> {
    if (this.#closed) throw usageError('chat: this conversation is closed; open another one')
    if (content.length === 0) throw usageError('the message is empty')
    const turns: ChatMessage[] = [...this.messages, { role: 'user', content }]
    const context = this.#model.model.config.maxPositionEmbeddings
    const { allowSpecial, signal } = options
    const overlong = overlongConversation
    const ids = await this.#template.encodeLong(turns, { addGenerationPrompt: true, allowSpecial, signal, context, overlong })
    if (ids.length > context) throw overlongError(overlong, ids.length, context)
    const result = yield* this.#model.streamIds(ids, options, this.#cache)
    this.messages.push(turns.at(-1)!, { role: 'assistant', content: result.text })
    return result
  }

  /** Frees what the conversation holds in the cache. It takes no further turns. */
  close(): Promise<void> {
    this.#closed = true
    return this.#model.release(this.#cache)
  }
}

/** Does not read what is worked out when it is read. */
const withoutNumber = ({ id, topLogprobs, streamWeights, streamChoices }: GeneratedToken): GeneratedToken => ({
  ...{ id, topLogprobs, streamWeights, streamChoices },
  logProbability: Number.NaN,
})
