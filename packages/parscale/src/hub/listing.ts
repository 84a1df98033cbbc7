/** What a repository holds at a revision: the commit, and each file with its size and hash. */
import { anySignal, hubError } from '@parscale/core/internal'
import { checkFileName, isCommit, quote } from './names.ts'
import { type HubClient, hubRequest, pathOf, unreachable } from './request.ts'
import { retrying } from './retry.ts'

/** A file's checksum as the hub keeps it: SHA-256 for large files (LFS and Xet), git's blob id for small ones. */
export interface FileHash {
  readonly algorithm: 'sha256' | 'git-sha1'
  /** Lower case. It is the blob's name in the cache as well. */
  readonly hex: string
}

export interface HubFile {
  /** Path inside the repository, checked to be safe. */
  readonly path: string
  readonly sizeBytes: number
  readonly hash: FileHash
}

export interface ListedFile {
  readonly path: string
  /** Undefined where the listing leaves it out (some mirrors do): `fileMetadata` asks for it. */
  readonly metadata: Omit<HubFile, 'path'> | undefined
}

export interface Listing {
  readonly commit: string
  readonly files: readonly ListedFile[]
}

const maxListingBytes = 32 * 2 ** 20

/**
 * `GET /api/models/ORG/NAME/revision/REV?blobs=true`: commit, names, sizes and hashes in one consistent answer.
 * @throws hub error for a refusal, an answer of another form, and file names that would leave the cache.
 */
export async function fetchListing(client: HubClient): Promise<Listing> {
  const url = `${client.settings.endpoint}/api/${client.kind ?? 'models'}/${client.repo}/revision/${encodeURIComponent(client.revision)}?blobs=true`
  // Somebody sits in front of the first request: whether there is a network at all should not take long to tell.
  const patience = { ...client.retry, attempts: Math.min(3, client.retry.attempts) }
  const text = await retrying(patience, client.signal, async () => {
    const response = await hubRequest(client, { url, signal: withinStall(client), headers: { accept: 'application/json' } })
    return readText(client, response, url)
  })
  const { token } = client.settings
  if (token !== undefined && text.includes(token))
    throw hubError(`${url}: the answer holds the access token that was sent; is HF_ENDPOINT a hub that you trust?`, {
      found: 'the token',
    })
  return parseListing(text, url)
}

/** For an answer that is short: it is there in this time, or not at all. */
function withinStall({ signal, retry }: HubClient): AbortSignal {
  return anySignal(signal, AbortSignal.timeout(retry.stallMs))
}

async function readText(client: HubClient, response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length
      if (length > maxListingBytes) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw unreachable(client, url, cause)
  }
  if (length > maxListingBytes) throw malformed(url, `at most ${maxListingBytes} bytes`, 'more')
  return Buffer.concat(chunks).toString('utf8')
}

/** The API's JSON, checked field by field. Exported for tests. */
export function parseListing(text: string, url: string): Listing {
  const body = parseJson(text, url)
  const { sha, siblings } = asRecord(body)
  if (typeof sha !== 'string' || !isCommit(sha)) throw malformed(url, 'a commit of 40 hexadecimal digits in "sha"', sha)
  if (!Array.isArray(siblings)) throw malformed(url, 'a list of files in "siblings"', siblings)
  const files = siblings.map((entry: unknown) => {
    const { rfilename } = asRecord(entry)
    if (typeof rfilename !== 'string') throw malformed(url, 'a name in "rfilename"', rfilename)
    return { path: checkFileName(rfilename, url), metadata: parseMetadata(asRecord(entry)) }
  })
  return { commit: sha, files }
}

function parseMetadata({ size, blobId, lfs }: Record<string, unknown>): ListedFile['metadata'] {
  const { sha256, size: lfsSize } = asRecord(lfs)
  const sizeBytes = lfsSize ?? size
  const hash = parseHash(sha256 ?? blobId)
  return isSize(sizeBytes) && hash !== undefined ? { sizeBytes, hash } : undefined
}

/**
 * Size and hash of one file from the headers of `HEAD /ORG/NAME/resolve/COMMIT/FILE`: X-Linked-Size and X-Linked-Etag
 * for large files, whose content lies elsewhere, Content-Length and ETag for the others.
 */
export async function fileMetadata(client: HubClient, commit: string, path: string): Promise<HubFile> {
  const { endpoint } = client.settings
  let url = fileUrl(client, commit, path)
  // Redirects inside the hub (a renamed repository) are followed by hand; one that leaves it ends the search, since
  // the headers wanted are the hub's own.
  for (let hops = 0; hops < 5; hops++) {
    const response = await retrying(client.retry, client.signal, () =>
      hubRequest(client, {
        url,
        method: 'HEAD',
        redirect: 'manual',
        accept: [301, 302, 303, 307, 308],
        signal: withinStall(client),
      }),
    )
    const { headers } = response
    const hash = parseHash(headers.get('x-linked-etag') ?? headers.get('etag'))
    const sizeBytes = Number(
      headers.get('x-linked-size') ?? (response.ok ? headers.get('content-length') : undefined) ?? Number.NaN,
    )
    if (hash !== undefined && isSize(sizeBytes)) return { path, sizeBytes, hash }
    const location = headers.get('location')
    const next = location !== null && URL.canParse(location, url) ? new URL(location, url) : undefined
    if (response.ok || next === undefined || next.origin !== new URL(endpoint).origin) break
    url = next.href
  }
  throw malformed(
    url,
    'X-Linked-Etag (or ETag) with a SHA-256 or git blob id, and a size',
    'none, so that the file cannot be checked',
  )
}

/** Where a file's bytes are: `/ORG/NAME/resolve/COMMIT/FILE`. */
export function fileUrl(client: HubClient, commit: string, path: string): string {
  return `${client.settings.endpoint}${pathOf(client)}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
}

function parseHash(text: unknown): FileHash | undefined {
  if (typeof text !== 'string') return undefined
  const hex = text.replace(/^W\//, '').replaceAll('"', '').toLowerCase()
  if (/^[0-9a-f]{64}$/.test(hex)) return { algorithm: 'sha256', hex }
  if (/^[0-9a-f]{40}$/.test(hex)) return { algorithm: 'git-sha1', hex }
  return undefined
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed(url, 'JSON', text.slice(0, 80))
  }
}

function malformed(url: string, expected: string, found: unknown) {
  const text = typeof found === 'string' ? found : (JSON.stringify(found) ?? String(found))
  const shown = found === undefined ? 'nothing' : quote(text.slice(0, 120))
  return hubError(`${url}: expected ${expected}, found ${shown}; is HF_ENDPOINT a Hugging Face hub?`, { expected, found })
}
