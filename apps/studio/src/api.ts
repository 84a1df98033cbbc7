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

/** Of a model inside of the page, where one was started: answers in place of the server. */
export const inPage = signal<
  { readonly fetch: Fetch; readonly id: string; readonly p: readonly number[]; readonly runs: string } | undefined
>(undefined)

export const info = signal<Info | undefined>(undefined)
export const connection = signal<'connecting' | 'here' | 'gone' | 'alone'>('connecting')

export async function loadInfo(): Promise<void> {
  try {
    const response = await here('/studio/info.json')
    if (!response.ok) throw new Gone()
    info.value = (await response.json()) as Info
    connection.value = info.value.static ? 'alone' : 'here'
  } catch {
    connection.value = 'gone'
    setTimeout(() => void loadInfo(), 1500)
    return
  }
  // Until the model is loaded there is little to say of it.
  if (!info.value.static && info.value.models[0]?.state !== 'ready' && info.value.models[0]?.state !== 'failed')
    setTimeout(() => void loadInfo(), 400)
}

/** The model that answers, with its P. */
export function currentModel(id: string): ModelInfo | undefined {
  const models = info.value?.models ?? []
  const page = inPage.value
  if (page && (id === page.id || id === ''))
    return { id: page.id, state: 'ready', problem: null, path: null, p: page.p, chat: false }
  return models.find((model) => model.id === id) ?? models[0]
}

export async function json<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response
  try {
    response = await here(path, init)
  } catch (error) {
    if (init?.signal?.aborted) throw error
    lost()
    throw new Gone('the server does not answer')
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
  return body as T
}

const messageOf = (body: unknown): string | undefined => (body as { error?: { message?: string } } | undefined)?.error?.message

/** Looks for the server until it answers again. */
function lost(): void {
  if (connection.value === 'gone' || connection.value === 'alone') return
  connection.value = 'gone'
  setTimeout(() => void loadInfo(), 1000)
}

/**
 * Tokens as they come.
 *
 * @throws Refused with the server's words; Gone where the answer ended in the middle
 */
export async function* complete(asked: Asked, signal: AbortSignal): AsyncGenerator<Token[], string | undefined> {
  if (connection.value === 'alone' && !inPage.value) return yield* replay(asked, signal)
  const { model, prompt, p, without, seed, temperature, maxTokens } = asked
  const body = {
    ...{ model, prompt, stream: true, logprobs: 5, seed, temperature, max_tokens: maxTokens },
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
    response = await (inPage.value && inPage.value.id === model
      ? inPage.value.fetch('/v1/completions', request)
      : here('/v1/completions', request))
  } catch (error) {
    if (signal.aborted) return undefined
    lost()
    throw new Gone('the server does not answer', { cause: error })
  }
  if (!response.ok || !response.body) await answered(response)
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
    lost()
    throw new Gone('the server stopped in the middle of the text', { cause: error })
  }
  if (!done && !signal.aborted) {
    lost()
    throw new Gone('the server stopped in the middle of the text')
  }
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
  traces ??= here('/studio/traces.json').then((response) => response.json() as Promise<readonly Trace[]>)
  return await traces
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
  const body = typeof prompt === 'string' ? { model, prompt } : { model, messages: prompt, add_generation_prompt: true }
  const page = inPage.value
  if (page && page.id === model) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    return (await answered<{ tokens: number[] }>(await page.fetch('/tokenize', init))).tokens
  }
  return (await post<{ tokens: number[] }>('/tokenize', body)).tokens
}
