/**
 * Answers that wait behind another one of their connection, as requests may come in a pipeline. Node tells only the answer that is being
 * written of the connection's end: those behind it would be computed to their end, for nobody, and kept alive for as long as the server.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** All answers of a connection emit `close` at its end, as Node has it for the first of them (lib/_http_server.js, onServerResponseClose). */
export function closePipelined(server: Server): void {
  const open = new WeakMap<Socket, Set<ServerResponse>>()
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const responses = open.get(socket) ?? new Set()
    if (!open.has(socket)) {
      open.set(socket, responses)
      socket.once('close', () => {
        for (const one of responses) {
          one.destroyed = true
          one.emit('close')
        }
      })
    }
    responses.add(response)
    response.once('close', () => responses.delete(response))
  })
}
