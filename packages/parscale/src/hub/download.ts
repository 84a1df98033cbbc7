/**
 * One file into the cache. Bytes go into `<blob>.incomplete`, which survives a cut connection, Ctrl-C and a crash, and
 * is resumed by a Range request. Only when length and hash are right does it take its final name.
 */
import { createHash, type Hash } from 'node:crypto'
import { dirname } from 'node:path'
import { anySignal, hubError } from '@parscale/core/internal'
import { discard, diskError, makeFolder, moveFile, openToUpdate } from '@parscale/core/internal/node'
import type { FileHandle } from '@parscale/core/internal/node/disk'
import { cacheAdvice, writing } from './disk-space.ts'
import { fileUrl, type HubFile } from './listing.ts'
import { quote } from './names.ts'
import { type HubClient, hubRequest, networkCode } from './request.ts'
import { retrying, TransientFailure } from './retry.ts'

export interface DownloadTarget {
  readonly commit: string
  readonly file: HubFile
  /** Final path. The part lies beside it. */
  readonly blobPath: string
  /** Bytes of the file that are on disk so far. */
  readonly onBytes?: (bytes: number) => void
}

export const partPath = (blobPath: string) => `${blobPath}.incomplete`

/** A part on its way: what is written, and the hash over exactly that. */
interface Part {
  readonly handle: FileHandle
  readonly path: string
  digest: Hash
  bytes: number
  /** Whether the last connection was given up for its rate. */
  slow: boolean
}

/**
 * Returns when `blobPath` holds the file, checked.
 * @throws hub error when the server refuses, keeps cutting, or sends another length or content (the part is deleted
 *   then); resource error when the disk is full (the part is kept); the signal's reason on abort (the part is kept).
 */
export async function downloadBlob(client: HubClient, target: DownloadTarget): Promise<void> {
  const { file, blobPath } = target
  const part = await openPart(blobPath, file, client.signal)
  try {
    let furthest = part.bytes
    const goesOn = () => {
      const progressed = part.bytes > furthest && !part.slow
      furthest = Math.max(furthest, part.bytes)
      return progressed
    }
    await retrying(client.retry, client.signal, () => receive(client, target, part), goesOn)
    await checkContent(part, file, client.repo)
    await writing(part.path, part.handle.sync())
  } finally {
    await part.handle.close()
  }
  await writing(blobPath, moveFile(part.path, blobPath))
}

/** Opens what an earlier run left, or an empty part. What is there is read once, for the hash. */
async function openPart(blobPath: string, file: HubFile, signal: AbortSignal | undefined): Promise<Part> {
  const path = partPath(blobPath)
  let handle: FileHandle | undefined
  try {
    await makeFolder(dirname(path))
    handle = await openToUpdate(path)
    const part: Part = { handle, path, digest: newDigest(file), bytes: 0, slow: false }
    const { size } = await handle.stat()
    if (size > file.sizeBytes) await handle.truncate(0)
    if (size === 0 || size > file.sizeBytes) return part
    for await (const chunk of handle.createReadStream({ start: 0, end: size - 1, autoClose: false, highWaterMark: 2 ** 20 })) {
      signal?.throwIfAborted()
      part.digest.update(chunk)
      part.bytes += chunk.length
    }
    return part
  } catch (cause) {
    await handle?.close()
    signal?.throwIfAborted()
    throw diskError(cause, path, cacheAdvice)
  }
}

/** Git hashes a header with the length in front of the content ("blob 12\0..."). */
function newDigest({ hash, sizeBytes }: HubFile): Hash {
  return hash.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`)
}

async function restart(part: Part, file: HubFile): Promise<void> {
  await writing(part.path, part.handle.truncate(0))
  part.digest = newDigest(file)
  part.bytes = 0
}

/** One connection: asks for what is missing and appends what comes. */
async function receive(client: HubClient, { commit, file, onBytes }: DownloadTarget, part: Part): Promise<void> {
  if (part.bytes === file.sizeBytes) return
  const url = fileUrl(client, commit, file.path)
  const stall = new AbortController()
  const { stallMs, slowMs, leastBytes } = client.retry
  const timer = setTimeout(() => stall.abort(new Error(`silent for ${stallMs} ms`)), stallMs)
  part.slow = false
  let before = part.bytes
  const meter = setInterval(() => {
    const came = part.bytes - before
    before = part.bytes
    part.slow = came < leastBytes
    if (part.slow) stall.abort(new Error(`only ${came} bytes in ${slowMs / 1000} s`))
  }, slowMs)
  try {
    const response = await hubRequest(client, {
      url,
      headers: part.bytes > 0 ? { range: `bytes=${part.bytes}-` } : {},
      signal: anySignal(client.signal, stall.signal),
      accept: [416],
    })
    try {
      await agreeOnStart(response, file, part)
      for await (const chunk of bodyOf(response, file, part)) {
        timer.refresh()
        await append(part, file, chunk)
        onBytes?.(part.bytes)
      }
    } finally {
      await response.body?.cancel().catch(() => {}) // a body that was read to its end does not mind
    }
  } finally {
    clearTimeout(timer)
    clearInterval(meter)
  }
  if (part.bytes < file.sizeBytes) throw cut(file, part, 'the connection ended early')
}

/** The body's chunks; a failing network becomes a TransientFailure. */
async function* bodyOf(response: Response, file: HubFile, part: Part): AsyncGenerator<Uint8Array> {
  try {
    yield* response.body ?? []
  } catch (cause) {
    throw cut(file, part, `${new URL(response.url).host} was lost (${networkCode(cause)})`)
  }
}

/**
 * Settles where the coming bytes belong. A server may ignore the range and send all (200), or know of no such range
 * (416): both mean to start anew. A length or range that contradicts the listing is not written at all.
 */
async function agreeOnStart(response: Response, file: HubFile, part: Part): Promise<void> {
  const asked = part.bytes
  const type = response.headers.get('content-type') ?? ''
  if (/^text\/html\b/i.test(type) && !/\.html?$/i.test(file.path)) {
    const { host } = new URL(response.url)
    throw hubError(`${file.path}: ${host} sent a web page instead; does a proxy or a network ask for a login?`, {
      file: file.path,
      expected: 'the file',
      found: quote(type),
    })
  }
  const encoding = response.headers.get('content-encoding')
  if (response.status === 206 && encoding !== null && encoding !== 'identity') {
    await restart(part, file)
    throw cut(file, part, `a part of it came compressed (${quote(encoding)})`)
  }
  if (response.status === 206) {
    const range = response.headers.get('content-range') ?? 'no Content-Range'
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? []
    if (Number(start) === asked && (total === '*' || Number(total) === file.sizeBytes)) return
    await restart(part, file)
    throw cut(file, part, `asked for bytes ${asked}- of ${file.sizeBytes}, got ${range}`)
  }
  if (asked > 0) await restart(part, file)
  if (response.status === 416) throw cut(file, part, `the server has no bytes from ${asked} on`)
  // Where a proxy compresses in spite of `identity`, the length is not that of the file.
  const length = response.headers.has('content-encoding') ? null : response.headers.get('content-length')
  if (length !== null && Number(length) !== file.sizeBytes) throw cut(file, part, `the server announces ${length} bytes`)
}

function cut(file: HubFile, part: Part, reason: string): TransientFailure {
  return new TransientFailure(
    hubError(`${file.path}: expected ${file.sizeBytes} bytes, have ${part.bytes}: ${reason}; run again to resume`, {
      file: file.path,
      expected: file.sizeBytes,
      found: part.bytes,
    }),
  )
}

async function append(part: Part, file: HubFile, chunk: Uint8Array): Promise<void> {
  if (part.bytes + chunk.length > file.sizeBytes) {
    await discard(part.path)
    throw hubError(`${file.path}: expected ${file.sizeBytes} bytes, the server sends more; the part was deleted, run again`, {
      file: file.path,
      expected: file.sizeBytes,
    })
  }
  for (let written = 0; written < chunk.length; ) {
    const rest = chunk.subarray(written)
    const { bytesWritten } = await writing(part.path, part.handle.write(rest, 0, rest.length, part.bytes))
    part.digest.update(rest.subarray(0, bytesWritten))
    part.bytes += bytesWritten
    written += bytesWritten
  }
}

async function checkContent(part: Part, file: HubFile, repo: string): Promise<void> {
  const found = part.digest.digest('hex')
  const { size } = await part.handle.stat()
  if (found === file.hash.hex && size === file.sizeBytes) return
  await discard(part.path)
  throw hubError(
    `${repo}/${file.path}: expected ${file.hash.algorithm} ${file.hash.hex}, found ${found} over ${size} bytes; the part was deleted, run again`,
    { file: file.path, expected: file.hash.hex, found },
  )
}
