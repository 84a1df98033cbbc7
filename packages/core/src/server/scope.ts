/** What lives as long as one request: its signal, what it holds, and what is noted of it. */

/** What one request computed. Milliseconds. */
export interface GeneratedNumbers {
  promptTokens: number
  cachedTokens: number
  generatedTokens: number
  /** From the request to its first token; of several answers, the first one's. */
  firstTokenMs: number | undefined
  /** From the first token to the last, and how many came behind the first. */
  decodeMs: number
  decodeTokens: number
}

export const noNumbers = (): GeneratedNumbers => ({
  ...{ promptTokens: 0, cachedTokens: 0, generatedTokens: 0, firstTokenMs: undefined, decodeMs: 0, decodeTokens: 0 },
})

/** One line of the log. Nothing of what was said. */
export interface RequestRecord {
  readonly id: string
  readonly method: string
  path: string
  readonly started: number
  status: number
  model?: string
  p?: number
  streamed?: boolean
  /** Why nothing came of it: the code of the error, or `cancelled`. */
  error?: string
  numbers: GeneratedNumbers
}

export class RequestScope {
  readonly record: RequestRecord
  readonly #left = new AbortController()
  readonly #held: (() => void)[] = []
  readonly #onEnd: (record: RequestRecord) => void
  #ended = false

  /** @param gone the request's own: AbortSignal.any of one that all requests share keeps some bytes of each of them (Node 20) */
  constructor(record: RequestRecord, gone: AbortSignal, onEnd: (record: RequestRecord) => void) {
    this.record = record
    this.#onEnd = onEnd
    const leave = () => this.leave(gone.reason)
    if (gone.aborted) leave()
    gone.addEventListener('abort', leave)
    this.#held.push(() => gone.removeEventListener('abort', leave))
  }

  /** Aborted when the client is gone, the server ends, or the request has: where one of its texts fails, the others end. */
  get signal(): AbortSignal {
    return this.#left.signal
  }

  /** Calls `release` at the end, however that comes. */
  hold(release: () => void): void {
    if (this.#ended) release()
    else this.#held.push(release)
  }

  leave(reason?: unknown): void {
    if (this.#left.signal.aborted || this.#ended) return
    this.record.error ??= 'cancelled'
    // Listeners give texts as reasons, and hono passes on as answers only what is an Error.
    this.#left.abort(reason instanceof Error ? reason : new Error(String(reason)))
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const release of this.#held.splice(0)) release()
    this.#left.abort(new Error('the request has ended'))
    this.#onEnd(this.record)
  }
}
