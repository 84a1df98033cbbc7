/**
 * A file to storage. Large ones go in parts, and what an earlier process has sent of the same file is not sent again: the server
 * lists the parts that it has, and those whose MD5 is that of our bytes count. So nothing has to be remembered here, and a part of
 * another file is never taken for one of this.
 */
import { openToRead } from '@parscale/core/internal/node'
import type { FileHandle } from '@parscale/core/internal/node/disk'
import { type Bucket, isMd5Etag, isMissing, md5Of, type UploadedPart } from './client.ts'
import { codeOf, StorageError } from './errors.ts'
import { type Part, planParts, usualPartBytes } from './parts.ts'
import { type RetryPolicy, retrying, usualRetries } from './retry.ts'

export interface FileToStore {
  readonly path: string
  readonly key: string
  readonly bytes: number
  readonly sha256: string
}

export interface TransferOptions {
  /** Called with what was transferred besides, in bytes. */
  readonly onBytes?: ((bytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
  readonly retry?: RetryPolicy
  readonly partBytes?: number
}

const partsAtOnce = 4
/** An upload that somebody aborted, or whose parts the server has lost, begins anew so often. */
const mostUploads = 3

/** Returns when the object is there, whole. Until then none is seen, or the one that was there before. */
export async function uploadFile(bucket: Bucket, file: FileToStore, options: TransferOptions = {}): Promise<void> {
  const handle = await openToRead(file.path)
  try {
    const parts = planParts(file.bytes, options.partBytes ?? usualPartBytes)
    if (parts.length === 0) return await sendWhole(bucket, file, handle, options)
    for (let tries = 1; ; tries++) {
      try {
        return await sendParts(bucket, file, handle, parts, options)
      } catch (error) {
        const lost = isMissing(error) || ['InvalidPart', 'InvalidPartOrder'].includes(codeOf(error) ?? '')
        if (!lost || tries === mostUploads) throw error
      }
    }
  } finally {
    await handle.close()
  }
}

async function sendWhole(bucket: Bucket, { key, bytes, sha256 }: FileToStore, handle: FileHandle, options: TransferOptions) {
  const content = await readPart(bucket.name(key), handle, { number: 1, start: 0, bytes })
  await sent(bucket.name(key), content, options, (): Promise<string> => bucket.put(key, content, {}, sha256))
  options.onBytes?.(bytes)
}

async function sendParts(
  bucket: Bucket,
  { key, sha256 }: FileToStore,
  handle: FileHandle,
  parts: readonly Part[],
  options: TransferOptions,
): Promise<void> {
  const { id, there } = await uploadToGoOn(bucket, key, sha256)
  const done = new Map<number, UploadedPart>()
  const waiting = [...parts]
  const work = async () => {
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      options.signal?.throwIfAborted()
      const content = await readPart(bucket.name(key), handle, part)
      const { number } = part
      const known = there.get(number)
      if (known?.bytes === part.bytes && isMd5Etag(known.etag) && hex(known.etag) === md5Of(content).toString('hex')) {
        done.set(number, known)
      } else {
        const etag = await sent(
          bucket.name(key),
          content,
          options,
          async () => (await bucket.putPart(key, id, number, content)).etag,
        )
        done.set(number, { number, bytes: part.bytes, etag })
      }
      options.onBytes?.(part.bytes)
    }
  }
  const workers = Array.from({ length: partsAtOnce }, work)
  try {
    await Promise.all(workers)
  } catch (error) {
    waiting.length = 0
    await Promise.allSettled(workers) // whoever reads the file must be done before it is closed
    throw error
  }
  await bucket.completeUpload(key, id, [...done.values()])
}

/** The newest upload to this key that was not finished, with its parts; or a new one. */
async function uploadToGoOn(
  bucket: Bucket,
  key: string,
  sha256: string,
): Promise<{ id: string; there: ReadonlyMap<number, UploadedPart> }> {
  const pending = (await bucket.pendingUploads(key)).filter((upload) => upload.key === key).at(-1)
  if (pending) {
    try {
      const parts = await bucket.listParts(key, pending.id)
      return { id: pending.id, there: new Map(parts.map((part) => [part.number, part])) }
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return { id: await bucket.beginUpload(key, sha256), there: new Map() }
}

/**
 * Sends until the server's MD5 is ours. An ETag that twice is the same and not ours is none: objects that are encrypted by a key
 * of their own have others.
 */
async function sent(
  name: string,
  content: Uint8Array,
  { retry = usualRetries, signal }: TransferOptions,
  send: () => Promise<string>,
): Promise<string> {
  const md5 = md5Of(content).toString('hex')
  let before: string | undefined
  return await retrying(retry, signal, async () => {
    const etag = await send()
    if (!isMd5Etag(etag) || hex(etag) === md5 || etag === before) return etag
    before = etag
    throw new StorageError(
      `${name}: the server has stored other bytes than were sent; check the network in between`,
      'Damaged',
      true,
    )
  })
}

const hex = (etag: string): string => etag.replaceAll('"', '')

async function readPart(name: string, handle: FileHandle, { start, bytes }: Part): Promise<Uint8Array> {
  const content = new Uint8Array(bytes)
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await handle.read(content, done, bytes - done, start + done)
    if (bytesRead === 0)
      throw new StorageError(`${name}: the file became shorter while it was stored; it is tried again later`, 'Changed', false)
    done += bytesRead
  }
  return content
}
