/** Files behind URLs: asked for by Range, with what went wrong in a sentence. */
import { hubError, isParscaleError } from '../../errors.ts'
import type { SourceFile } from './source.ts'

export type Headers = Readonly<Record<string, string>>

/** A request that failed before there was an answer: no network, a name that is not found, a page that may not ask. */
export const isUnreachable = (error: unknown): boolean => isParscaleError(error) && error.facts.found === 'unreachable'

/** @throws hub error where there is no answer, or one that is no file; undefined for 404 and pages that stand in for one */
export async function get(url: string, headers: Headers, signal?: AbortSignal): Promise<Response | undefined> {
  let response: Response
  try {
    response = await fetch(url, { headers, signal: signal ?? null })
  } catch (cause) {
    signal?.throwIfAborted()
    throw hubError(
      `${url}: cannot be reached (${(cause as Error).message}); check the network and, on another host, its CORS headers`,
      {
        file: url,
        found: 'unreachable',
        cause,
      },
    )
  }
  // A server of one page answers every name with it.
  const isPage = response.headers.get('content-type')?.startsWith('text/html')
  if (response.status === 404 || response.status === 410 || (response.ok && isPage)) {
    await response.body?.cancel()
    return undefined
  }
  if (response.ok) return response
  await response.body?.cancel()
  const advice = response.status === 401 || response.status === 403 ? '; a token may be needed' : ''
  throw hubError(`${url}: the server answered ${response.status} ${response.statusText}${advice}`, {
    file: url,
    found: response.status,
  })
}

/** A file's size and tag by one request for its first byte; undefined where there is none. */
export async function findFile(
  path: string,
  url: string,
  headers: Headers,
  signal?: AbortSignal,
): Promise<SourceFile | undefined> {
  const response = await get(url, { ...headers, range: 'bytes=0-0' }, signal)
  if (!response) return undefined
  await response.body?.cancel()
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  const whole =
    response.status === 200 && !response.headers.has('content-encoding') ? response.headers.get('content-length') : null
  const size = total ?? whole
  const tag = response.headers.get('etag') ?? response.headers.get('last-modified') ?? undefined
  return remoteFile({ path, size: size === null ? undefined : Number(size), tag }, url, headers)
}

/** A file that a listing names. */
export function remoteFile(
  facts: Pick<SourceFile, 'path' | 'size' | 'sha256' | 'tag'>,
  url: string,
  headers: Headers,
): SourceFile {
  return {
    ...facts,
    async open(from, { to, signal } = {}) {
      const range: Headers = from > 0 || to !== undefined ? { range: `bytes=${from}-${to === undefined ? '' : to - 1}` } : {}
      const response = await get(url, { ...headers, ...range }, signal)
      if (!response?.body) throw hubError(`${url}: is not there any more`, { file: url })
      return { from: response.status === 206 ? from : 0, stream: response.body }
    },
  }
}
