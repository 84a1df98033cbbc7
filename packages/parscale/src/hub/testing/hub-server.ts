/**
 * A Hugging Face hub on localhost for tests: real HTTP, the hub's routes and headers, a second server as its content
 * network, and faults on demand. Large files (LFS) are redirected to the content network as the real hub does.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

export interface HubRepo {
  readonly commit: string
  /** Contents by path. Safetensors and GGUF files count as large, the others as small. */
  readonly files: Readonly<Record<string, Uint8Array>>
  /** Lengths that the listing gives instead of the true ones. */
  readonly listedSizes?: Readonly<Record<string, number>>
  /** Without this token the repository answers 403 as a gated one does. */
  readonly token?: string
  /** Other branches and tags, with contents of their own. */
  readonly revisions?: Readonly<Record<string, HubRepo>>
}

/** What goes wrong with one answer. Faults about bodies apply where the bytes are served. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  /** The connection is destroyed after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The answer is silent after so many bytes, until the client goes. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  | { readonly kind: 'ignore-range' }
  /** 206 with a Content-Range that starts elsewhere. */
  | { readonly kind: 'wrong-range' }
  /** A body of this length, announced as such: the file's start, or the file and zeros. */
  | { readonly kind: 'wrong-length'; readonly length: number }
  /** A body with so many zeros behind the file and no Content-Length. */
  | { readonly kind: 'endless'; readonly extraBytes: number }
  /** The first byte is another one. */
  | { readonly kind: 'corrupt' }
  /** A byte at a time, with a pause after each. */
  | { readonly kind: 'drip'; readonly everyMs: number }
  /** No answer at all. */
  | { readonly kind: 'silent' }
  /** 200 with a web page. */
  | { readonly kind: 'page' }
  /** The body compressed, as by a proxy that does not know better. */
  | { readonly kind: 'gzip' }

export interface SeenRequest {
  readonly server: 'hub' | 'cdn'
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

export interface HubServerOptions {
  /** Data sets by `datasets/ORG/NAME`. */
  readonly repos: Readonly<Record<string, HubRepo>>
  /** Asked once for each request, with all requests so far (the current one last). */
  readonly fault?: (request: SeenRequest, seen: readonly SeenRequest[]) => Fault | undefined
  /** Leaves sizes and hashes out of the listing, as some mirrors do. */
  readonly bareListing?: boolean
  /** Default: 127.0.0.1. */
  readonly host?: string
}

export interface HubServer {
  readonly url: string
  readonly requests: readonly SeenRequest[]
  close(): Promise<void>
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
export const gitBlobId = (bytes: Uint8Array) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

const isLarge = (path: string) => /\.(safetensors|gguf)$/.test(path)

export async function startHubServer({
  repos,
  fault,
  bareListing = false,
  host = '127.0.0.1',
}: HubServerOptions): Promise<HubServer> {
  const requests: SeenRequest[] = []
  let cdnUrl = ''

  const observe = (server: SeenRequest['server'], request: IncomingMessage) => {
    const { method = 'GET', url = '/', headers } = request
    const seen: SeenRequest = { server, method, url, range: headers.range, authorization: headers.authorization }
    requests.push(seen)
    return { seen, fault: fault?.(seen, requests) }
  }

  const hub = createServer((request, response) => {
    const { seen, fault: broken } = observe('hub', request)
    if (broken?.kind === 'status') return refuse(response, broken.status, broken.headers)
    if (broken?.kind === 'page') return sendPage(response)
    if (broken?.kind === 'silent') return
    const { pathname } = new URL(seen.url, 'http://hub')

    const [, kind, listedName, route, revision] =
      /^\/api\/(models|datasets)\/(.+)\/(revision|tree)\/([^/]+)$/.exec(pathname) ?? []
    const listed = kind === 'datasets' ? `datasets/${listedName}` : listedName
    const [, resolved, commit, file] = /^\/(.+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname) ?? []
    const name = decodeURIComponent(revision ?? commit ?? '')
    const main = repos[listed ?? resolved ?? '']
    const repo = Object.entries(main?.revisions ?? {}).find(([other, { commit }]) => [other, commit].includes(name))?.[1] ?? main
    if (repo === undefined) return refuse(response, seen.authorization ? 404 : 401, { 'x-error-code': 'RepoNotFound' })
    if (repo.token !== undefined && seen.authorization !== `Bearer ${repo.token}`) {
      return refuse(response, seen.authorization ? 403 : 401, { 'x-error-code': 'GatedRepo' })
    }
    if (repo === main && ![repo.commit, 'main'].includes(name)) {
      return refuse(response, 404, { 'x-error-code': 'RevisionNotFound' })
    }
    if (route === 'tree') return sendTree(response, repo)
    if (route === 'revision') return sendListing(response, repo, bareListing)

    const path = decodeURIComponent(file ?? '')
    const bytes = repo.files[path]
    if (bytes === undefined) return refuse(response, 404, { 'x-error-code': 'EntryNotFound' })
    response.setHeader('x-repo-commit', repo.commit)
    if (!isLarge(path)) {
      response.setHeader('etag', `"${gitBlobId(bytes)}"`)
      return sendBytes(request, response, bytes, broken)
    }
    response.writeHead(302, {
      location: `${cdnUrl}/${repo === main ? '' : `${repo.commit}!`}${resolved}/${file}`,
      'x-linked-size': bytes.length,
      'x-linked-etag': `"${sha256(bytes)}"`,
    })
    response.end()
  })

  const cdn = createServer((request, response) => {
    const { seen, fault: broken } = observe('cdn', request)
    if (broken?.kind === 'status') return refuse(response, broken.status, broken.headers)
    if (broken?.kind === 'page') return sendPage(response)
    const [repo, path] = splitAfterRepo(decodeURIComponent(seen.url.slice(1).replace(/^[^/]*!/, '')), repos)
    const wanted = Object.values(repos[repo]!.revisions ?? {}).find(({ commit }) => seen.url.startsWith(`/${commit}!`))
    sendBytes(request, response, (wanted ?? repos[repo]!).files[path]!, broken)
  })

  const url = await listen(hub, host)
  cdnUrl = await listen(cdn, host)
  return {
    url,
    requests,
    async close() {
      await Promise.all([hub, cdn].map((server) => closeServer(server)))
    },
  }
}

function splitAfterRepo(path: string, repos: HubServerOptions['repos']): [repo: string, file: string] {
  const repo = Object.keys(repos).find((name) => path.startsWith(`${name}/`)) ?? ''
  return [repo, path.slice(repo.length + 1)]
}

function sendListing(response: ServerResponse, repo: HubRepo, bare: boolean): void {
  const siblings = Object.entries(repo.files).map(([rfilename, bytes]) => {
    if (bare) return { rfilename }
    const size = repo.listedSizes?.[rfilename] ?? bytes.length
    const lfs = { sha256: sha256(bytes), size, pointerSize: 135 }
    // For a large file the blob id is that of the pointer which git holds in its place.
    return {
      rfilename,
      size,
      blobId: isLarge(rfilename) ? '0'.repeat(40) : gitBlobId(bytes),
      ...(isLarge(rfilename) && { lfs }),
    }
  })
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'model', sha: repo.commit, siblings }))
}

/** What newer clients ask for instead of the listing: `GET /api/models/ORG/NAME/tree/COMMIT?recursive=true`. */
function sendTree(response: ServerResponse, { files }: HubRepo): void {
  const entries = Object.entries(files).map(([path, bytes]) => {
    const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 135 }
    return { type: 'file', path, size: bytes.length, oid: gitBlobId(bytes), ...(isLarge(path) && { lfs }) }
  })
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(entries))
}

function sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, fault: Fault | undefined): void {
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const start = fault?.kind === 'ignore-range' || from === undefined ? 0 : Number(from)
  if (start > 0 && start >= bytes.length) {
    refuse(response, 416, { 'content-range': `bytes */${bytes.length}` })
    return
  }

  let body: Uint8Array = bytes.slice(start)
  if (fault?.kind === 'wrong-length') body = resized(body, fault.length)
  if (fault?.kind === 'endless') body = resized(body, body.length + fault.extraBytes)
  if (fault?.kind === 'corrupt') body[0] = (body[0] ?? 0) ^ 1
  if (fault?.kind === 'gzip') {
    body = gzipSync(body)
    response.setHeader('content-encoding', 'gzip')
  }
  if (fault?.kind !== 'endless') response.setHeader('content-length', body.length)
  if (start > 0) {
    const shown = fault?.kind === 'wrong-range' ? start - 1 : start
    response.setHeader('content-range', `bytes ${shown}-${bytes.length - 1}/${bytes.length}`)
  }
  response.writeHead(start > 0 ? 206 : 200)
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  if (fault?.kind === 'cut') response.write(body.slice(0, fault.afterBytes), () => response.destroy())
  else if (fault?.kind === 'drip') drip(response, body, fault.everyMs)
  else if (fault?.kind === 'stall') response.write(body.slice(0, fault.afterBytes))
  else response.end(body)
}

function drip(response: ServerResponse, body: Uint8Array, everyMs: number): void {
  let at = 0
  const timer = setInterval(() => {
    if (at === body.length || response.destroyed) return clearInterval(timer)
    response.write(body.slice(at, ++at))
  }, everyMs)
  response.on('close', () => clearInterval(timer))
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const copy = new Uint8Array(length)
  copy.set(bytes.subarray(0, length))
  return copy
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, headers).end(`status ${status}`)
}

/** What a network that asks for a login answers to everything. */
function sendPage(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!doctype html><title>Log in\u009b31m</title>')
}

function listen(server: Server, host: string): Promise<string> {
  return new Promise((resolve) => {
    const shown = host.includes(':') ? `[${host}]` : host
    server.listen(0, host, () => resolve(`http://${shown}:${(server.address() as AddressInfo).port}`))
  })
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => void server.close(() => resolve()))
}
