/** The worker's side: a model behind a port. */
import { runtimeError } from '../../errors.ts'
import type { BrowserModel } from '../types.ts'
import { type Answer, type Asked, sendError } from './messages.ts'

/** What a worker's global scope and a MessagePort have in common. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
}

export function servePort(port: Port): void {
  const send = (answer: Answer, transfer: Transferable[] = []) => port.postMessage(answer, transfer)
  const underWay = new Map<number, AbortController>()
  let model: BrowserModel | undefined
  const loaded = () => {
    if (model) return model
    throw runtimeError('the worker has no model; load one first')
  }

  async function answer(asked: Exclude<Asked, { type: 'abort' }>, signal: AbortSignal): Promise<void> {
    const { id } = asked
    switch (asked.type) {
      case 'load': {
        send({ type: 'running' })
        const { loadHere } = await import('../model/local-model.ts')
        model = await loadHere({
          ...asked.options,
          signal,
          onProgress: (progress) => send({ type: 'progress', progress }),
          onInfo: (info) => send({ type: 'info', info }),
        })
        return send({ type: 'end', id, value: model.info })
      }
      case 'stream': {
        const onPrefill = asked.prefill ? (done: number, total: number) => send({ type: 'prefill', id, done, total }) : undefined
        const stream = loaded().stream(asked.prompt, { ...asked.options, signal, onPrefill })
        for (;;) {
          const { done, value } = await stream.next()
          if (done) return send({ type: 'end', id, value })
          send({ type: 'chunk', id, chunk: value })
        }
      }
      case 'fetch': {
        const { url, method, headers, body } = asked
        const response = await loaded().fetch(url, { method, headers: [...headers], body: body ?? null, signal })
        const { status, statusText } = response
        send({ type: 'head', id, status, statusText, headers: [...response.headers] })
        const reader = response.body?.getReader()
        const leave = () => void reader?.cancel(signal.reason).catch(() => {})
        signal.addEventListener('abort', leave)
        for (;;) {
          const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
          if (done) break
          const bytes = value.slice()
          send({ type: 'bytes', id, bytes }, [bytes.buffer])
        }
        signal.throwIfAborted()
        return send({ type: 'end', id })
      }
      case 'memory':
        return send({ type: 'end', id, value: await loaded().memory() })
      case 'dispose':
        await model?.dispose()
        model = undefined
        return send({ type: 'end', id })
    }
  }

  port.addEventListener('message', ({ data }) => {
    const asked = data as Asked
    if (asked.type === 'abort') {
      underWay.get(asked.id)?.abort(new DOMException('the page aborted it', 'AbortError'))
      return
    }
    const controller = new AbortController()
    underWay.set(asked.id, controller)
    answer(asked, controller.signal)
      .catch((error) => send({ type: 'error', id: asked.id, error: sendError(error) }))
      .finally(() => underWay.delete(asked.id))
  })
}
