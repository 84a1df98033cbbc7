/** One text of a request: checked against the limits, queued, and counted. */
import type { z } from 'zod'
import { isParscaleError } from '../errors.ts'
import {
  checkWithoutStreams,
  type SamplingOptions,
  type TextChunk,
  type TextOptions,
  type TextResult,
  type TokenConstraint,
} from '../generation/index.ts'
import type { ServerContext } from './context.ts'
import { contextExceeded, invalid, overloaded, queueFull } from './errors.ts'
import type { LoadedModel } from './models.ts'
import type { parscaleField, SamplingFields } from './protocol/fields.ts'
import type { RequestScope } from './scope.ts'

export interface TextJob {
  readonly model: LoadedModel
  readonly p: number
  readonly promptIds: readonly number[]
  readonly options: TextOptions
  /** Called with the first step. */
  readonly begun: () => void
}

/** A text as it is generated, and what it came to. */
export type GeneratedText = AsyncGenerator<TextChunk, TextResult>

/** So many texts of late say how long one takes. */
const textsAveraged = 16

/** Sampling options from a request's fields, within the limits. Without a seed, another text each time. */
export function samplingOf(
  fields: SamplingFields,
  model: LoadedModel,
  { limits }: ServerContext,
): Omit<TextOptions, 'maxTokens'> {
  const { temperature, top_p, top_k, min_p, presence_penalty, frequency_penalty, repetition_penalty, seed } = fields
  const stop = typeof fields.stop === 'string' ? [fields.stop] : (fields.stop ?? [])
  if (stop.length > limits.stops) throw invalid(`stop: at most ${limits.stops} strings, got ${stop.length}`, 'stop')
  if (stop.includes('')) throw invalid('stop: a stop string must not be empty', 'stop')
  const characters = stop.reduce((sum, text) => sum + text.length, 0)
  if (characters > limits.stopCharacters)
    throw invalid(`stop: at most ${limits.stopCharacters} characters together, got ${characters}`, 'stop')
  const options: SamplingOptions = {
    temperature: temperature ?? 1,
    // A set of no probability is the most probable token alone.
    topP: top_p === 0 ? Number.MIN_VALUE : (top_p ?? undefined),
    topK: top_k === undefined || top_k === null || top_k <= 0 ? undefined : top_k,
    minP: min_p ?? undefined,
    presencePenalty: presence_penalty ?? undefined,
    frequencyPenalty: frequency_penalty ?? undefined,
    repetitionPenalty: repetition_penalty ?? undefined,
    logitBias: biasOf(fields.logit_bias ?? {}, model, limits.logitBias),
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
  }
  return { ...options, stop }
}

/** What a request asks of the streams. @throws invalid request for streams to be left out that there are not */
export function streamOptions(
  asked: z.infer<typeof parscaleField>,
  p: number,
): Pick<TextOptions, 'streamChoices' | 'withoutStreams'> {
  const without = asked?.without ?? []
  try {
    checkWithoutStreams(without, p)
  } catch (error) {
    throw invalid(`parscale.without: ${(error as Error).message.replace(/^withoutStreams: /, '')}`, 'parscale')
  }
  return { streamChoices: asked?.streams ?? false, ...(without.length > 0 && { withoutStreams: without }) }
}

function biasOf(given: Readonly<Record<string, number>>, { text }: LoadedModel, most: number): Map<number, number> {
  const entries = Object.entries(given)
  if (entries.length > most) throw invalid(`logit_bias: at most ${most} tokens, got ${entries.length}`, 'logit_bias')
  const { vocabSize } = text.model.config
  return new Map(
    entries.map(([key, bias]) => {
      const id = Number(key)
      if (!/^\d+$/.test(key) || id >= vocabSize)
        throw invalid(`logit_bias: ${JSON.stringify(key.slice(0, 40))} is no token id below ${vocabSize}`, 'logit_bias')
      // As OpenAI documents it: -100 bans a token.
      return [id, bias === -100 ? -Infinity : bias]
    }),
  )
}

/** Ids of a text. One that is far too long is not encoded to its end. */
export async function encoded(ids: Promise<number[]>, { text }: LoadedModel, param: string): Promise<number[]> {
  try {
    return await ids
  } catch (error) {
    if (!isParscaleError(error) || error.facts.expected !== text.model.config.maxPositionEmbeddings) throw error
    throw contextExceeded(`${param}: ${error.message}`, param)
  }
}

/** @throws context_length_exceeded, which names both numbers */
export function checkPrompt(promptIds: readonly number[], { text }: LoadedModel, param: string): void {
  const context = text.model.config.maxPositionEmbeddings
  if (promptIds.length === 0) throw invalid(`${param}: it has no tokens; a model needs at least one to start from`, param)
  if (promptIds.length > context)
    throw contextExceeded(
      `This model's maximum context length is ${context} tokens. However, your ${param} has ${promptIds.length} tokens. Please shorten it.`,
      param,
    )
}

/** @throws invalid request, naming the id */
export function checkIds(ids: readonly number[], { text }: LoadedModel, param: string): void {
  const { vocabSize } = text.model.config
  const bad = ids.find((id) => id >= vocabSize)
  if (bad !== undefined) throw invalid(`${param}: token id ${bad} is not in the vocabulary of ${vocabSize} tokens`, param)
}

export function checkMaxTokens(
  asked: number | null | undefined,
  usual: number,
  param: string,
  { limits }: ServerContext,
): number {
  if (asked !== null && asked !== undefined && asked > limits.maxTokens)
    throw invalid(`${param}: at most ${limits.maxTokens}, got ${asked}`, param)
  return asked ?? Math.min(usual, limits.maxTokens)
}

/**
 * A place in the queue for a request of so many texts, or none where these would wait too long. One of many texts takes no more
 * places than others, as they need not wait for all of them; how many texts there are is bounded for itself.
 *
 * @returns what the answer's headers say of it, and for each text what its first step calls: the last of them gives the place up
 */
export function enqueue(
  model: LoadedModel,
  texts: number,
  scope: RequestScope,
  { limits }: ServerContext,
): { readonly headers: Readonly<Record<string, string>>; readonly begun: readonly (() => void)[] } {
  const { queued } = model
  if (queued > 0 && queued >= limits.queue) throw queueFull(queued, limits.queue)
  const others = model.texts - texts
  const most = limits.prompts + limits.queue
  if (texts > limits.n && others > 0 && others + texts > most)
    throw overloaded(`${others} texts are under way, and with ${texts} more it were over ${most}; try again`, 'queue_full')
  const wait = expectedWait(model)
  if (wait > limits.waitMs) {
    const seconds = Math.ceil(wait / 1000)
    throw overloaded(`a request would wait for some ${seconds} s; try again`, 'wait_too_long', seconds)
  }
  model.queued++
  let waiting = texts
  const begun = Array.from({ length: texts }, () => {
    let waits = true
    return () => {
      if (waits && --waiting === 0) model.queued--
      waits = false
    }
  })
  for (const begin of begun) scope.hold(begin)
  return { headers: { 'x-queue-position': String(queued) }, begun }
}

/** Milliseconds until a text that comes now has its first step: those in front of it take the places of those that run. */
function expectedWait({ text, queued, serviceMs }: LoadedModel): number {
  const { running, waiting } = text.scheduler.counters
  // Where nobody waits for room, the next step takes all in.
  return waiting === 0 ? 0 : ((queued + 1) * serviceMs) / Math.max(1, running)
}

/** Generates, and notes what it takes in the request's record. */
export async function* generateText(job: TextJob, scope: RequestScope, { metrics }: ServerContext): GeneratedText {
  const { model, p, promptIds, options, begun } = job
  const { numbers } = scope.record
  const finished = metrics.begin(model.id, p)
  let [begunAt, firstAt, lastAt, tokens] = [0, 0, 0, 0]
  try {
    const stream = model.text.streamIds(promptIds, {
      ...options,
      ...{ p, owner: scope, signal: scope.signal },
      onPrefill: (read, total) => {
        begun()
        begunAt ||= performance.now()
        if (read < total) return
        firstAt = performance.now()
        numbers.firstTokenMs ??= firstAt - scope.record.started
      },
    })
    for (;;) {
      const next = await stream.next()
      lastAt = performance.now()
      if (next.done) {
        numbers.promptTokens += next.value.promptTokens
        numbers.cachedTokens += next.value.cachedTokens
        tokens = next.value.tokens.length
        const took = lastAt - begunAt
        model.serviceMs += (took - model.serviceMs) / (model.serviceMs === 0 ? 1 : textsAveraged)
        return next.value
      }
      tokens += next.value.tokens.length
      yield next.value
    }
  } finally {
    numbers.generatedTokens += tokens
    if (tokens > 1 && firstAt > 0) {
      numbers.decodeMs += lastAt - firstAt
      numbers.decodeTokens += tokens - 1
    }
    begun()
    finished()
  }
}

export const withConstraint = (options: TextOptions, constrain: TokenConstraint | undefined): TextOptions =>
  constrain ? { ...options, constrain } : options
