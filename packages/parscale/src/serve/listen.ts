/** Listens for the app: HTTP or HTTPS, with times that bound what a slow client may hold, and an orderly end. */
import { readFile } from 'node:fs/promises'
import { createServer as createHttp, IncomingMessage, type Server } from 'node:http'
import { createServer as createHttps, Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { getRequestListener, RequestError } from '@hono/node-server'
import { runtimeError, usageError } from '@parscale/core/internal'
import { ApiError, type ServerApp, toApiError } from '@parscale/core/internal/server'
import { keepHalfClosed } from './half-closed.ts'
import { closePipelined } from './pipelined.ts'

export interface ListenOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** Paths of PEM files. */
  readonly tls?: TlsFiles
  /** Milliseconds until a whole request, its body included, must be here. Default: 120 s. */
  readonly requestMs?: number
  /** Milliseconds after which a client that takes none of its answer is cut off. Default: 60 s. */
  readonly unreadMs?: number
  /** What is still read of a body that was refused. Default: nginx's, 5 s without a byte, 30 s in all. */
  readonly lingering?: Lingering
}

export interface Lingering {
  readonly idleMs: number
  readonly mostMs: number
}

export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

export interface Listener {
  readonly url: string
  /** Connections from now on get the certificate that stands in the files now. @throws usage error, and the one before stays */
  renewTls(): Promise<void>
  /** Takes no new connections, and closes each when its answer is out. Does not wait long for those that ask for nothing: `cut` them. */
  close(): Promise<void>
  /** Cuts what is left. */
  cut(): void
}

/** Milliseconds until headers, and until a whole request, must be here. */
const headersTimeout = 20_000
const usualRequestMs = 120_000
/** Longer than balancers keep a connection that nobody uses (60 s): else they send a request on one that is being closed. */
const keepAliveTimeout = 75_000
/** For a request on its way when the server ends. To Node a connection that has sent none yet is not idle. */
const silentMs = 500

export async function listen(
  app: Pick<ServerApp, 'fetch'>,
  { host, port, tls, requestMs = usualRequestMs, unreadMs = 60_000, lingering = { idleMs: 5000, mostMs: 30_000 } }: ListenOptions,
): Promise<Listener> {
  const eventStreams = new WeakSet<object>()
  const answer = getRequestListener(
    async (request, { incoming, outgoing }) => {
      const response = await app.fetch(request)
      // What is left of a body that was refused would be taken for the next request.
      if (!incoming.complete) {
        response.headers.set('connection', 'close')
        if (incoming instanceof IncomingMessage) linger(incoming, lingering)
      }
      if (response.headers.get('content-type')?.startsWith('text/event-stream')) eventStreams.add(outgoing)
      return response
    },
    { overrideGlobalObjects: false, errorHandler: unreadable },
  )
  const limits = { headersTimeout, requestTimeout: requestMs, keepAliveTimeout, maxHeaderSize: 32 * 1024, noDelay: true }
  const server: Server = tls ? createHttps({ ...limits, ...(await readTls(tls)) }, answer) : createHttp(limits, answer)
  closePipelined(server)
  keepHalfClosed(server, eventStreams)
  cutUnread(server, unreadMs)
  let answering = 0
  server.on('request', (_, response) => {
    answering++
    response.once('close', () => answering--)
  })
  // Node closes none that has not finished its TLS handshake.
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(cause, host, port)))
    server.listen(port, host, resolve)
  })
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    renewTls: async () => {
      if (tls && server instanceof HttpsServer) server.setSecureContext(await readTls(tls))
    },
    close: () =>
      new Promise((resolve) => {
        let silent = performance.now()
        const closed = () => {
          clearInterval(idle)
          resolve()
        }
        const idle = setInterval(() => {
          server.closeIdleConnections()
          if (answering > 0) silent = performance.now()
          else if (performance.now() - silent > silentMs) closed()
        }, 50)
        server.close(closed)
      }),
    cut: () => {
      // Where the start has failed, nobody has called close, and a port that listens keeps the process alive.
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/**
 * Closes a connection behind its answer as a client needs it that is still sending: a socket that is closed with bytes unread is reset,
 * and the reset may take the answer with it. So only our half is closed, and what comes is read and forgotten for a while.
 */
function linger(incoming: IncomingMessage, { idleMs, mostMs }: Lingering): void {
  const { socket } = incoming
  // Node calls it when the answer is out.
  socket.destroySoon = () => {
    if (socket.writableEnded || socket.destroyed) return
    socket.end()
    const cut = () => void socket.destroy()
    const most = setTimeout(cut, mostMs)
    let bytes = socket.bytesRead
    const idle = setInterval(() => {
      if (socket.bytesRead === bytes) cut()
      bytes = socket.bytesRead
    }, idleMs)
    socket.once('close', () => {
      clearTimeout(most)
      clearInterval(idle)
    })
    if (incoming.complete) return cut()
    incoming.once('end', cut).resume()
  }
}

/** Cuts off clients that read nothing of what waits for them: they would hold their rows as long as they like. */
function cutUnread(server: Server, ms: number): void {
  // Of no bytes in either direction, which a long prompt may need as well.
  server.timeout = ms
  server.on('request', (_, response) => {
    response.on('timeout', (socket: Socket) => {
      if (socket.writableLength > 0) socket.destroy()
    })
  })
}

/** A request that never came to the app: mostly a Host that is no name. */
function unreadable(error: unknown): Response {
  const { status, body } =
    error instanceof RequestError
      ? new ApiError(400, 'invalid_request_error', `the request cannot be read: ${error.message}`, { code: 'invalid_request' })
      : toApiError(error)
  return Response.json(body, { status })
}

async function readTls({ cert, key }: TlsFiles) {
  const read = async (file: string, flag: string) => {
    try {
      return await readFile(file)
    } catch (cause) {
      throw usageError(`${flag}: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { file, flag, cause })
    }
  }
  const pair = { cert: await read(cert, '--tls-cert'), key: await read(key, '--tls-key') }
  const problem = (parts: object) => {
    try {
      createSecureContext(parts)
    } catch (cause) {
      return cause as Error
    }
  }
  const facts = (file: string, flag: string, cause: Error) => ({ file, flag, cause })
  const noCert = problem({ cert: pair.cert })
  if (noCert) throw usageError(`--tls-cert: ${cert} is no certificate in PEM`, facts(cert, '--tls-cert', noCert))
  const noKey = problem({ key: pair.key })
  if (noKey) throw usageError(`--tls-key: ${key} is no key in PEM without a passphrase`, facts(key, '--tls-key', noKey))
  const noPair = problem(pair)
  if (noPair) throw usageError(`--tls-key: ${key} is not the key of ${cert}`, facts(key, '--tls-key', noPair))
  return pair
}

function cannotListen(cause: NodeJS.ErrnoException, host: string, port: number) {
  if (cause.code === 'EADDRINUSE')
    return usageError(`port ${port} of ${host} is taken; choose another with --port`, { flag: '--port', cause })
  if (cause.code === 'EACCES')
    return usageError(`port ${port} needs more rights; choose one above 1023 with --port`, { flag: '--port', cause })
  if (cause.code === 'EADDRNOTAVAIL' || cause.code === 'ENOTFOUND')
    return usageError(`${host} is no address of this machine; see --host`, { flag: '--host', cause })
  return runtimeError(`the server cannot listen on ${host}:${port}: ${cause.message}`, { cause })
}
