/** Requests to the app in this process: no port, no network. */
import { ParscaleError } from '@parscale/core/internal'
import { ApiError, type ServerApp } from '@parscale/core/internal/server'

interface Refusal {
  readonly error: { readonly message: string; readonly type: string }
}

const isRefusal = (value: object): value is Refusal => 'error' in value

/** What is wrong with a request is the caller's; all else is not. */
const failed = ({ error: { message, type } }: Refusal) =>
  new ParscaleError(type === 'invalid_request_error' ? 'usage' : 'runtime', message)

/** @throws what the server's parts refuse, as the library's error */
export function inWordsOfLibrary<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw error instanceof ApiError ? failed(error.body) : error
  }
}

/** @throws what the app refuses, and the signal's reason */
async function post({ fetch }: ServerApp, path: string, body: object, signal: AbortSignal | undefined): Promise<Response> {
  signal?.throwIfAborted()
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal }
  const response = await fetch(new Request(`http://localhost${path}`, init))
  signal?.throwIfAborted()
  if (!response.ok) throw failed((await response.json()) as Refusal)
  return response
}

/** `Answer` is what the path answers with. */
export async function ask<Answer>(app: ServerApp, path: string, body: object, signal?: AbortSignal): Promise<Answer> {
  return (await (await post(app, path, body, signal)).json()) as Answer
}

/** What a stream's events hold, until `[DONE]`. The signal ends the request whether or not somebody reads, and so does leaving early. */
export async function askStream<Chunk extends object>(
  app: ServerApp,
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<AsyncGenerator<Chunk>> {
  const response = await post(app, path, { ...body, stream: true, stream_options: { include_usage: true } }, signal)
  const reader = response.body!.getReader()
  // Between two reads, and before the first, no generator notices it.
  const leave = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', leave, { once: true })
  return events(reader, signal, () => signal.removeEventListener('abort', leave))
}

async function* events<Chunk extends object>(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  signal: AbortSignal,
  ended: () => void,
): AsyncGenerator<Chunk> {
  const utf8 = new TextDecoder()
  try {
    for (;;) {
      // The app writes one whole event at a time (core/src/server/events.ts).
      const { done, value } = await reader.read()
      signal.throwIfAborted()
      const data = utf8.decode(value).replace(/^data: /, '')
      if (done || data.startsWith('[DONE]')) return
      const chunk = JSON.parse(data) as Chunk | Refusal
      if (isRefusal(chunk)) throw failed(chunk)
      yield chunk
    }
  } finally {
    ended()
    await reader.cancel()
  }
}
