/**
 * One request to the hub, and what its refusals mean. Redirects to a content network are followed by `fetch` itself,
 * which drops the Authorization header when the origin changes (Fetch standard, HTTP-redirect fetch, step 13).
 */
import { hubError, type ParscaleError } from '@parscale/core/internal'
import type { RepositoryKind } from './cache.ts'
import { quote } from './names.ts'
import { type RetryPolicy, retryAfterMs, TransientFailure } from './retry.ts'
import type { HubSettings } from './settings.ts'

/** The repository a request is about, and how to talk to its hub. */
export interface HubClient {
  readonly settings: HubSettings
  readonly retry: RetryPolicy
  readonly repo: string
  /** Default: models. */
  readonly kind?: RepositoryKind
  readonly revision: string
  readonly signal: AbortSignal | undefined
  /** Through a proxy where one is set. */
  readonly fetch: typeof fetch
}

/** Of a repository's pages: models stand at the root. */
export const pathOf = ({ repo, kind }: Pick<HubClient, 'repo' | 'kind'>): string =>
  kind === 'datasets' ? `/datasets/${repo}` : `/${repo}`

export interface HubRequest {
  readonly url: string
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Record<string, string>
  readonly redirect?: 'follow' | 'manual'
  readonly signal?: AbortSignal
  /** Statuses, besides the successful ones, that the caller wants to see for itself. */
  readonly accept?: readonly number[]
}

/**
 * The response to one request.
 * @throws TransientFailure for a busy server or a failing network, hub error for every other refusal.
 */
export async function hubRequest(client: HubClient, request: HubRequest): Promise<Response> {
  const { url, method = 'GET', redirect = 'follow', signal = client.signal, accept = [] } = request
  const { token } = client.settings
  // identity: hashes, lengths and ranges are those of the file, not of a compressed transport.
  const headers = { 'accept-encoding': 'identity', 'user-agent': 'parscale', ...request.headers }
  let response: Response
  try {
    response = await client.fetch(url, {
      method,
      redirect,
      signal,
      headers: token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` },
    })
  } catch (cause) {
    throw unreachable(client, url, cause)
  }
  if (response.ok || accept.includes(response.status)) return response
  await response.body?.cancel().catch(() => {}) // frees the connection; its body says nothing we need
  const error = refusal(client, response)
  if (isBusy(response.status) || !isOwnAnswer(client, response)) {
    throw new TransientFailure(error, retryAfterMs(response.headers.get('retry-after')))
  }
  throw error
}

const isBusy = (status: number) => status === 429 || status === 408 || status >= 500

/** Whether the hub itself answered. Its content network knows nothing of rights; a refusal there is a link that expired. */
const isOwnAnswer = ({ settings }: HubClient, response: Response) =>
  new URL(response.url).origin === new URL(settings.endpoint).origin

/** A network failure as something to try again, named with its host and the system's code; not where the certificate is wrong. */
export function unreachable({ settings }: HubClient, url: string, cause: unknown): TransientFailure | ParscaleError {
  const { host } = new URL(url)
  const code = networkCode(cause)
  const proxy = settings.proxies.for(new URL(url))
  const refused = proxyStatus(cause)
  if (proxy && refused !== undefined) {
    const what = `${host}: the proxy ${proxy.url.host} of ${proxy.variable} answered ${refused}`
    const facts = { expected: 'status 200', found: refused, cause }
    if (refused === 407)
      return hubError(
        `${what}: it wants a user name and a password; set ${proxy.variable} to http://USER:PASSWORD@HOST:PORT`,
        facts,
      )
    const error = hubError(`${what}; may it be asked for this host? NO_PROXY names hosts that are asked without it`, facts)
    return refused >= 500 ? new TransientFailure(error) : error
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return hubError(
      `${host}: its certificate is not trusted (${code}); if a proxy of yours stands in between, set NODE_EXTRA_CA_CERTS to its certificate`,
      { expected: 'a trusted certificate', found: code, cause },
    )
  }
  return new TransientFailure(
    hubError(
      `${host}: no connection${proxy ? ` through the proxy ${proxy.url.host} of ${proxy.variable}` : ''} (${code}); check the network, set HF_ENDPOINT for another hub, or HF_HUB_OFFLINE=1 to use only what is in the cache`,
      { expected: 'an answer', found: code, cause },
    ),
  )
}

/** What a proxy answered in place of a connection; undici has it in the text of its errors only. */
function proxyStatus(error: unknown): number | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const [, status] = /^Proxy .*\((\d{3})\)/.exec(at.message) ?? []
    if (status !== undefined) return Number(status)
  }
  return undefined
}

/** `fetch` hides the reason in `cause`: ENOTFOUND, ECONNREFUSED, CERT_HAS_EXPIRED, UND_ERR_SOCKET. */
export function networkCode(error: unknown): string {
  let innermost = 'unknown reason'
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException
    innermost = typeof code === 'string' ? code : at.message || innermost
    if (typeof code === 'string') break
  }
  return innermost
}

/** What a status means here. The hub names the reason in X-Error-Code; mirrors often do not. */
function refusal(client: HubClient, response: Response): ParscaleError {
  const { repo, revision, settings } = client
  const { status, url } = response
  const code = response.headers.get('x-error-code')
  const said = response.headers.get('x-error-message')
  const facts = { expected: 'status 200', found: status }
  const answer = `${new URL(url).host} answered ${status}${said ? ` (${quote(said)})` : ''}`
  const page = `${settings.endpoint}${pathOf(client)}`
  const tokenHint = settings.token === undefined ? 'set HF_TOKEN to a token that may read it' : 'check that HF_TOKEN may read it'

  if (isBusy(status) || !isOwnAnswer(client, response)) return hubError(`${repo}: ${answer}; try again later`, facts)
  if (code === 'GatedRepo' || (status === 403 && code === null)) {
    return hubError(`${repo}: gated, ${answer}; accept its licence at ${page}, then ${tokenHint}`, facts)
  }
  if (code === 'RevisionNotFound') {
    return hubError(
      `${repo}: no revision ${quote(revision)}, ${answer}; its branches and tags are listed at ${page}/tree/main`,
      facts,
    )
  }
  if (code === 'EntryNotFound') return hubError(`${repo}: no file at ${quote(url)}, ${answer}`, { ...facts, file: url })
  // The hub hides private repositories: without a right to read, they do not exist.
  if (code === 'RepoNotFound' || status === 401 || status === 404) {
    return hubError(
      `${repo}: no such ${client.kind === 'datasets' ? 'data set' : 'model'} or revision ${quote(revision)}, or a private one; ${answer}; check the name, or ${tokenHint}`,
      facts,
    )
  }
  return hubError(`${repo}: ${answer} to ${quote(url)}; is HF_ENDPOINT a Hugging Face hub?`, facts)
}
