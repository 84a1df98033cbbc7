/** A network that fails: stands in front of an S3 endpoint, and does to each request what the test says. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Passing {
  readonly method: string
  /** Decoded, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** How many came before. */
  readonly count: number
}

export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly code?: string; readonly headers?: Record<string, string> }
  /** The connection ends after so many bytes of the request's body; nothing reaches the server. */
  | { readonly kind: 'cut-request'; readonly afterBytes: number }
  /** The server has done it, but its answer is lost. */
  | { readonly kind: 'lose-answer' }
  /** The connection ends after so many bytes of the answer's body. */
  | { readonly kind: 'cut-answer'; readonly afterBytes: number }
  /** One byte of the body is another one. */
  | { readonly kind: 'corrupt-request' }
  | { readonly kind: 'corrupt-answer' }
  /** A proxy that knows no ranges. */
  | { readonly kind: 'ignore-range' }
  /** No answer, until the client goes. */
  | { readonly kind: 'silent' }
  /** Bytes of the request or the answer come with a pause after each so many. */
  | { readonly kind: 'slow'; readonly bytes: number; readonly everyMs: number }
  | { readonly kind: 'html' }

export interface FaultyProxy {
  readonly url: string
  readonly asked: Passing[]
  /** Asked of every request. */
  rule: (asked: Passing) => Fault | undefined
  close(): Promise<void>
}

export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const asked: Passing[] = []
  const server = createServer((incoming, answer) => {
    const url = new URL(incoming.url!, target)
    const passing: Passing = {
      method: incoming.method!,
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      headers: incoming.headers,
      count: asked.length,
    }
    asked.push(passing)
    incoming.on('error', () => {})
    answer.on('error', () => {})
    void pass(new URL(target), incoming, answer, proxy.rule(passing)).catch(() => answer.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    rule: () => undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return proxy
}

async function pass(target: URL, incoming: IncomingMessage, answer: ServerResponse, fault: Fault | undefined): Promise<void> {
  if (fault?.kind === 'silent') return
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of incoming) {
    chunks.push(chunk)
    length += chunk.length
    if (fault?.kind === 'cut-request' && length >= fault.afterBytes) return void incoming.socket.destroy()
    if (fault?.kind === 'slow') await sleep((chunk.length / fault.bytes) * fault.everyMs)
  }
  if (fault?.kind === 'cut-request') return void incoming.socket.destroy()
  const body = Buffer.concat(chunks)
  if (fault?.kind === 'corrupt-request' && length > 0) body[length >> 1]! ^= 1
  if (fault?.kind === 'status') {
    const { status, code = 'Unknown', headers = {} } = fault
    // As S3 writes it: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    const text = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>said by the server: ${code}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>`
    answer.writeHead(status, { 'content-type': 'application/xml', ...headers })
    return void answer.end(incoming.method === 'HEAD' ? undefined : text)
  }
  if (fault?.kind === 'html') {
    answer.writeHead(200, { 'content-type': 'text/html' })
    return void answer.end('<html><body>Please log in<br></body></html>')
  }
  const headers = { ...incoming.headers }
  if (fault?.kind === 'ignore-range') delete headers.range
  delete headers.expect
  const inner = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(
      { host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers, agent: false },
      resolve,
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
  const parts: Buffer[] = []
  for await (const chunk of inner) parts.push(chunk)
  const content = Buffer.concat(parts)
  if (fault?.kind === 'lose-answer') return void incoming.socket.destroy()
  if (fault?.kind === 'corrupt-answer' && content.length > 0) content[content.length >> 1]! ^= 1
  answer.writeHead(inner.statusCode!, inner.rawHeaders)
  if (fault?.kind === 'cut-answer') {
    answer.write(content.subarray(0, fault.afterBytes))
    await sleep(20)
    return void incoming.socket.destroy()
  }
  if (fault?.kind === 'slow') {
    for (let at = 0; at < content.length && !answer.destroyed; at += fault.bytes) {
      answer.write(content.subarray(at, at + fault.bytes))
      await sleep(fault.everyMs)
    }
    return void answer.end()
  }
  answer.end(content)
}
