/** What the page asks: of the server it came from, of recorded traces where there is none, or of a model inside of the page. */
import { signal } from '@preact/signals'

export interface ModelInfo {
  readonly id: string
  readonly state: string
  readonly problem: string | null
  readonly path: string | null
  readonly p: readonly number[]
  readonly chat: boolean
  readonly weights?: string
  readonly context?: number
  readonly family?: string
  readonly hidden?: number
  readonly layers?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly vocabulary?: number
  readonly parameters?: number
  readonly bytesPerPosition?: number
}

export interface Info {
  /** True: the page stands alone, and traces were recorded for it. */
  readonly static: boolean
  readonly version: string
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly memoryBytes: number
    readonly freeBytes: number
    readonly platform: string
    readonly node: string
  }
  readonly runs: string
  readonly models: readonly ModelInfo[]
}

export interface Choice {
  readonly id: number
  readonly token: string
  readonly logprob: number
}

/** A token as the page keeps it. */
export interface Token {
  readonly id: number
  readonly text: string
  readonly logprob: number
  /** The most probable ones in its place, best first. */
  readonly top: readonly { readonly text: string; readonly logprob: number }[]
  /** [P] */
  readonly weights: readonly number[]
  /** What each stream would have said alone, [P]. */
  readonly choices: readonly Choice[]
  /** Milliseconds since the token before. */
  readonly ms: number
}

export interface Asked {
  readonly model: string
  readonly prompt: string | readonly number[]
  readonly p: number
  /** Streams from 0 that have no say. */
  readonly without: readonly number[]
  readonly seed: number
  readonly temperature: number
  readonly maxTokens: number
}

/** The server says no, in words. */
export class Refused extends Error {}
/** Nobody answers, or somebody stopped in the middle of an answer. */
export class Gone extends Error {}

type Fetch = (path: string, init?: RequestInit) => Promise<Response>

const here: Fetch = (path, init) => fetch(new URL(`.${path}`, document.baseURI), init)

/** A model inside of the page, where one was started (page-model.ts). It stands beside those of the server. */
export interface InPage {
  readonly about: ModelInfo
  /** Its name where it answers. */
  readonly name: string
  /** What runs it, in words: `WASM, 2 threads`. */
  readonly runs: string
  /** Answers as the server does. */
  readonly fetch: Fetch
  /** Bytes of keys and values now, and of the weights. */
  memory(): Promise<{ readonly cacheBytes: number; readonly weightBytes: number }>
}
export const inPage = signal<InPage | undefined>(undefined)

export const info = signal<Info | undefined>(undefined)
export const connection = signal<'connecting' | 'here' | 'gone' | 'alone'>('connecting')
/** What is wrong while the connection is gone, in words. */
export const trouble = signal('')

const silence = 'the server does not answer'

export async function loadInfo(): Promise<void> {
  try {
    const response = await here('/studio/info.json')
    const found = await answered<Info>(response)
    if (!Array.isArray(found.models) || !found.machine) throw new Refused(strange)
    info.value = found
    connection.value = found.static ? 'alone' : 'here'
  } catch (error) {
    trouble.value = error instanceof Refused ? error.message : silence
    connection.value = 'gone'
    setTimeout(() => void loadInfo(), 1500)
    return
  }
  // Until the model is loaded there is little to say of it.
  const { static: isStatic, models } = info.value
  if (!isStatic && models[0]?.state !== 'ready' && models[0]?.state !== 'failed') setTimeout(() => void loadInfo(), 400)
}

/** All that can answer, the page's own first: recorded traces are for want of one. */
export function allModels(): readonly ModelInfo[] {
  const others = info.value?.models ?? []
  const page = inPage.value
  if (!page) return others
  return connection.value === 'alone' ? [page.about] : [page.about, ...others]
}

/** The model of this id, or else the first that answers. */
export function currentModel(id: string): ModelInfo | undefined {
  const models = allModels()
  return models.find((model) => model.id === id) ?? models[0]
}

/** Whether what is shown was recorded, as there is neither a server nor a model in the page. */
export const isRecorded = (): boolean => connection.value === 'alone' && !inPage.value

/** Who answers for a model, and under which name. */
function answers(model: string): { ask: Fetch; name: string; isPage: boolean } {
  const page = inPage.value
  return page?.about.id === model ? { ask: page.fetch, name: page.name, isPage: true } : { ask: here, name: model, isPage: false }
}

export async function json<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response
  try {
    response = await here(path, init)
  } catch (error) {
    if (init?.signal?.aborted) throw error
    lost()
    throw new Gone(silence)
  }
  return await answered<T>(response)
}

export const post = <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  json<T>(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  })

async function answered<T>(response: Response): Promise<T> {
  const body: unknown = await response.json().catch(() => undefined)
  if (!response.ok) throw new Refused(messageOf(body) ?? `the server answered with ${response.status}`)
  if (typeof body !== 'object' || body === null) throw new Refused(strange)
  return body as T
}

const strange = 'the server answered with something else than this page asked for; is another program on its port?'

const messageOf = (body: unknown): string | undefined => (body as { error?: { message?: string } } | undefined)?.error?.message

/** Looks for the server until it answers again. */
function lost(): void {
  if (connection.value === 'gone' || connection.value === 'alone') return
  trouble.value = silence
  connection.value = 'gone'
  setTimeout(() => void loadInfo(), 1000)
}

/**
 * Tokens as they come.
 *
 * @throws Refused with the server's words; Gone where the answer ended in the middle
 */
export async function* complete(asked: Asked, signal: AbortSignal): AsyncGenerator<Token[], string | undefined> {
  if (isRecorded()) return yield* replay(asked, signal)
  const { model, prompt, p, without, seed, temperature, maxTokens } = asked
  const { ask, name, isPage } = answers(model)
  const gone = (message: string, cause: unknown): Error => {
    // A model in the page says itself what is wrong with it.
    if (isPage) return new Refused(cause instanceof Error ? cause.message : message)
    lost()
    return new Gone(message, { cause })
  }
  const body = {
    ...{ model: name, prompt, stream: true, logprobs: 5, seed, temperature, max_tokens: maxTokens },
    parscale: { p, streams: true, without },
  }
  const request: RequestInit = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  }
  let response: Response
  try {
    response = await ask('/v1/completions', request)
  } catch (error) {
    if (signal.aborted) return undefined
    throw gone(silence, error)
  }
  if (!response.ok || !response.body) await answered(response)
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw new Refused(strange)
  let last = performance.now()
  let reason: string | undefined
  let done = false
  try {
    for await (const data of events(response.body!)) {
      if (data === '[DONE]') {
        done = true
        break
      }
      const chunk = JSON.parse(data) as Chunk
      if (chunk.error) throw new Refused(chunk.error.message)
      const [choice] = chunk.choices ?? []
      if (choice?.finish_reason) reason = choice.finish_reason
      const now = performance.now()
      const tokens = tokensOf(choice, now - last)
      if (tokens.length === 0) continue
      last = now
      yield tokens
    }
  } catch (error) {
    if (error instanceof Refused) throw error
    if (signal.aborted) return undefined
    throw gone('the server stopped in the middle of the text', error)
  }
  if (!done && !signal.aborted) throw gone('the server stopped in the middle of the text', undefined)
  return reason
}

interface Streams {
  readonly token_ids?: readonly number[]
  readonly streams: readonly (readonly number[])[]
  readonly stream_choices: readonly (readonly Choice[])[]
}
interface ChunkChoice {
  readonly finish_reason: string | null
  readonly parscale?: Streams
  readonly logprobs: {
    readonly tokens: readonly string[]
    readonly token_logprobs: readonly number[]
    readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null
  } | null
}
interface Chunk {
  readonly choices?: readonly ChunkChoice[]
  readonly error?: { readonly message: string }
}

function tokensOf(choice: ChunkChoice | undefined, ms: number): Token[] {
  const streams = choice?.parscale
  const numbers = choice?.logprobs
  if (!streams || !numbers) return []
  const ids = streams.token_ids ?? []
  return ids.map((id, i) => {
    const common = { id, weights: streams.streams[i] ?? [], choices: streams.stream_choices[i] ?? [], ms: ms / ids.length }
    const top = Object.entries(numbers.top_logprobs?.[i] ?? {})
      .map(([text, logprob]) => ({ text, logprob }))
      .sort((a, b) => b.logprob - a.logprob)
      .slice(0, 5)
    return { ...common, text: numbers.tokens[i]!, logprob: numbers.token_logprobs[i]!, top }
  })
}

/** The data of server-sent events. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      const whole = text.split('\n\n')
      text = whole.pop()!
      for (const event of whole) if (event.startsWith('data: ')) yield event.slice(6)
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

interface Trace {
  readonly prompt: string
  readonly p: number
  readonly without: readonly number[]
  readonly seed: number
  readonly temperature: number
  readonly events: readonly { readonly ms: number; readonly data: Chunk }[]
}
let traces: Promise<readonly Trace[]> | undefined

/** The prompts that a page without a server can go on with. */
export async function recordedTraces(): Promise<readonly Trace[]> {
  traces ??= here('/studio/traces.json').then((response) => answered<readonly Trace[]>(response))
  try {
    return await traces
  } catch (cause) {
    // The next who asks tries again.
    traces = undefined
    throw new Refused('the recorded texts of this page could not be fetched; try again', { cause })
  }
}

async function* replay(asked: Asked, signal: AbortSignal): AsyncGenerator<Token[], string | undefined> {
  const all = await recordedTraces()
  const same = (a: readonly number[], b: readonly number[]) => a.length === b.length && a.every((x, i) => x === b[i])
  const found = all.find(({ prompt, p, without }) => prompt === asked.prompt && p === asked.p && same(without, asked.without))
  if (!found)
    throw new Refused(
      `this page has no server, only recorded traces: of ${JSON.stringify(asked.prompt)} with P = ${asked.p} there is none without ${asked.without.length === 0 ? 'changes' : 'these streams'}. Choose a recorded prompt.`,
    )
  let before = 0
  let given = 0
  for (const { ms, data } of found.events) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(60, Math.max(8, ms - before))))
    if (signal.aborted) return undefined
    const tokens = tokensOf(data.choices?.[0], ms - before)
    before = ms
    given += tokens.length
    if (tokens.length > 0) yield tokens
    if (given >= asked.maxTokens) break
  }
  return 'length'
}

export interface Message {
  readonly role: 'user' | 'assistant'
  readonly content: string
}

/** Token ids of a text or a conversation, as the model reads it. */
export async function tokenize(model: string, prompt: string | readonly Message[]): Promise<number[]> {
  const { ask, name, isPage } = answers(model)
  const body =
    typeof prompt === 'string' ? { model: name, prompt } : { model: name, messages: prompt, add_generation_prompt: true }
  if (!isPage) return (await post<{ tokens: number[] }>('/tokenize', body)).tokens
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return (await answered<{ tokens: number[] }>(await ask('/tokenize', init))).tokens
}
