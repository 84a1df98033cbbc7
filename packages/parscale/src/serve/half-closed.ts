/**
 * Clients that say they send no more. One that is gone says the same as one that waits for its answer: only what comes back to
 * bytes that are sent to it tells them apart. Node ends the request of both, so it is told not to, and each is sent a few bytes
 * that mean nothing now and then. What is gone answers with a reset.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Milliseconds between the first bytes, and at most. */
const [first, longest] = [5, 1000]

/** @param eventStreams answers of which it is known that comments may stand in them */
export function keepHalfClosed(server: Server, eventStreams: WeakSet<object>): void {
  // Not in Node's documentation, and there since its first days; see lib/_http_server.js.
  Object.assign(server, { httpAllowHalfOpen: true })
  /** What to do at the end of a connection: one listener for all its requests, which may come in a pipeline. */
  const open = new WeakMap<Socket, Set<() => void>>()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const waiting = open.get(socket) ?? new Set()
    if (!open.has(socket)) {
      open.set(socket, waiting)
      socket.once('end', () => {
        for (const probe of waiting) probe()
      })
    }
    let timer: NodeJS.Timeout | undefined
    const probe = (ms = first) => {
      // An interim answer, which HTTP/1.0 does not know, or a comment between two events; an answer of one piece is on its way.
      if (!response.headersSent && request.httpVersion === '1.1') response.writeProcessing()
      else if (eventStreams.has(response) && !response.writableEnded && !response.writableNeedDrain) response.write(': \n\n')
      timer = setTimeout(probe, ms, Math.min(longest, 2 * ms))
    }
    waiting.add(probe)
    if (socket.readableEnded) probe()
    response.once('close', () => {
      waiting.delete(probe)
      clearTimeout(timer)
    })
  })
}
