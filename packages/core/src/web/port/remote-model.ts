/** The page's side: a model in a worker. */
import { runtimeError, unsupportedError } from '../../errors.ts'
import type { TextChunk, TextResult } from '../../generation/index.ts'
import { type Channel, channel } from '../../generation/token-stream.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'
import type { BrowserLoadOptions, BrowserMemory, BrowserModel, BrowserModelInfo, BrowserTextOptions } from '../types.ts'
import { type Answer, type Asked, receiveError } from './messages.ts'

/** What a page needs of a worker. */
export type WorkerPort = Pick<Worker, 'postMessage' | 'addEventListener' | 'terminate'>

/** Slow networks may take long to bring the worker's program, and nothing is heard before it runs. */
const usualStart = 60_000

/**
 * @param startMs after how long a worker that says nothing is given up
 * @throws as loadInBrowser; unsupported error where the worker does not start, or is another program
 */
export async function loadInWorker(
  worker: WorkerPort,
  options: BrowserLoadOptions,
  startMs: number = usualStart,
): Promise<BrowserModel> {
  const { onProgress, onInfo, signal, worker: _, ...sent } = options
  const [runtimeFiles, stepFiles] = [sent.runtimeFiles, sent.stepFiles].map(
    (url) => url && new URL(url, globalThis.location?.href).href,
  )
  const source = 'url' in sent.source ? { ...sent.source, url: absolute(sent.source.url) } : sent.source
  const connection = new Connection(worker)
  const silent = setTimeout(() => connection.giveUp(startMs), startMs)
  connection.onRunning = () => clearTimeout(silent)
  try {
    signal?.throwIfAborted()
    connection.onProgress = onProgress
    const info = await connection.ask<BrowserModelInfo>(
      { type: 'load', options: { ...sent, source, runtimeFiles, stepFiles } },
      { signal },
    )
    const model = new RemoteModel(connection, info)
    connection.onInfo = (info) => {
      model.info = info
      onInfo?.(info)
    }
    return model
  } catch (error) {
    connection.close()
    throw error
  } finally {
    clearTimeout(silent)
  }
}

/** The worker's own URL is another one. What is no URL is refused there. */
const absolute = (url: string): string => {
  const base = globalThis.location?.href
  return URL.canParse(url, base) ? new URL(url, base).href : url
}

type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never
type Ask = Without<Exclude<Asked, { type: 'abort' }>, 'id'>
type Told = Exclude<Answer, { type: 'running' | 'progress' | 'info' }>

/** Requests under way, each with a listener. */
class Connection {
  onRunning: (() => void) | undefined
  onProgress: BrowserLoadOptions['onProgress']
  onInfo: BrowserLoadOptions['onInfo']
  readonly #worker: WorkerPort
  readonly #listeners = new Map<number, (answer: Told) => void>()
  #next = 0
  /** Why nothing more is answered. */
  #closed: Error | undefined

  constructor(worker: WorkerPort) {
    this.#worker = worker
    worker.addEventListener('message', ({ data }) => this.#hear(data as Answer))
    worker.addEventListener('error', ({ message }) =>
      this.#fail(
        unsupportedError(
          `the worker does not run (${message || 'its file could not be loaded'}); hand in one with \`worker\`, or look at the page’s Content-Security-Policy (worker-src)`,
        ),
      ),
    )
  }

  /** The end's value. Aborted, the worker ends it, and the promise rejects with the signal's reason. */
  async ask<T = void>(
    ask: Ask,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onAnswer?: (answer: Told) => void
      readonly transfer?: Transferable[]
    } = {},
  ): Promise<T> {
    if (this.#closed) throw this.#closed
    const { signal, onAnswer, transfer = [] } = options
    signal?.throwIfAborted()
    const id = this.#next++
    const abort = () => this.#worker.postMessage({ type: 'abort', id } satisfies Asked)
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#listeners.set(id, (answer) => {
          if (answer.type === 'end') resolve(answer.value as T)
          else if (answer.type === 'error') reject(receiveError(answer.error))
          else onAnswer?.(answer)
        })
        signal?.addEventListener('abort', abort)
        this.#worker.postMessage({ ...ask, id }, transfer)
      })
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#listeners.delete(id)
    }
  }

  close(): void {
    this.#worker.terminate()
    this.#fail(runtimeError('the model is disposed of; load it again'))
  }

  giveUp(ms: number): void {
    this.#fail(
      unsupportedError(
        `the worker said nothing for ${ms / 1000} s; it has to be the program @parscale/core/web/worker: look at what \`worker\` starts, and whether its file arrives`,
      ),
    )
  }

  #hear(answer: Answer): void {
    if (answer.type === 'running') this.onRunning?.()
    else if (answer.type === 'progress') this.onProgress?.(answer.progress)
    else if (answer.type === 'info') this.onInfo?.(answer.info)
    else this.#listeners.get(answer.id)?.(answer)
  }

  #fail(error: Error): void {
    this.#closed ??= error
    const { name, message } = error
    const kind = 'kind' in error ? (error.kind as 'runtime') : 'runtime'
    for (const [id, listener] of [...this.#listeners]) listener({ type: 'error', id, error: { name, message, kind } })
  }
}

/** Pieces that wait for a slow reader before they are joined. */
const chunksHeld = 64

class RemoteModel implements BrowserModel {
  info: BrowserModelInfo
  readonly #connection: Connection

  constructor(connection: Connection, info: BrowserModelInfo) {
    this.#connection = connection
    this.info = info
  }

  async *stream(
    prompt: string | readonly ChatMessage[],
    { signal, onPrefill, ...options }: BrowserTextOptions = {},
  ): AsyncGenerator<TextChunk, TextResult> {
    const left = new AbortController()
    const chunks: Channel<TextChunk> = channel(chunksHeld, joined)
    const finished = this.#connection.ask<TextResult>(
      { type: 'stream', prompt, options, prefill: onPrefill !== undefined },
      {
        signal: signal ? AbortSignal.any([signal, left.signal]) : left.signal,
        onAnswer: (answer) => {
          if (answer.type === 'chunk') chunks.push(answer.chunk)
          else if (answer.type === 'prefill') onPrefill?.(answer.done, answer.total)
        },
      },
    )
    finished.then(chunks.end, chunks.fail)
    try {
      yield* chunks
      return await finished
    } finally {
      left.abort()
    }
  }

  async generate(prompt: string | readonly ChatMessage[], options: BrowserTextOptions = {}): Promise<TextResult> {
    const stream = this.stream(prompt, options)
    for (;;) {
      const { done, value } = await stream.next()
      if (done) return value
    }
  }

  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, 'http://page/'), init)
    const { url, method, signal } = request
    const body = method === 'GET' || method === 'HEAD' ? undefined : await request.arrayBuffer()
    const left = new AbortController()
    return await new Promise<Response>((resolve, reject) => {
      let controller: ReadableStreamDefaultController<Uint8Array> | undefined
      this.#connection
        .ask(
          { type: 'fetch', url, method, headers: [...request.headers], body },
          {
            signal: AbortSignal.any([signal, left.signal]),
            transfer: body ? [body] : [],
            onAnswer: (answer) => {
              if (answer.type === 'bytes') controller?.enqueue(answer.bytes)
              if (answer.type !== 'head') return
              const { status, statusText, headers } = answer
              const stream = new ReadableStream<Uint8Array>({
                start(made) {
                  controller = made
                },
                cancel() {
                  controller = undefined
                  left.abort()
                },
              })
              const hasBody = status !== 204 && status !== 304
              resolve(new Response(hasBody ? stream : null, { status, statusText, headers: [...headers] }))
            },
          },
        )
        .then(
          () => controller?.close(),
          (error) => {
            controller?.error(error)
            reject(error)
          },
        )
    })
  }

  memory(): Promise<BrowserMemory> {
    return this.#connection.ask<BrowserMemory>({ type: 'memory' })
  }

  /** The worker goes, and all its memory with it; it is given a moment to let go of the GPU. */
  async dispose(): Promise<void> {
    const released = this.#connection.ask({ type: 'dispose' }).catch(() => {})
    await Promise.race([released, new Promise((resolve) => setTimeout(resolve, 2000))])
    this.#connection.close()
  }
}

const joined = (a: TextChunk, b: TextChunk): TextChunk => ({ text: a.text + b.text, tokens: [...a.tokens, ...b.tokens] })
