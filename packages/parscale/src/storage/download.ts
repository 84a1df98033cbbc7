/**
 * One object into a file. Bytes go into `<file>.incomplete`, which survives a cut, Ctrl-C and a kill, and is resumed by a range.
 * The file takes its name once size and checksum are right: SHA-256 where it is known, else the MD5 that the ETag is.
 */
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { checkpointError } from '@parscale/core/internal'
import { cacheAdvice, discard, diskError, makeFolder, moveFile, openToUpdate } from '@parscale/core/internal/node'
import type { FileHandle } from '@parscale/core/internal/node/disk'
import { type Bucket, cut, isMd5Etag, type ObjectBody, type StoredObject } from './client.ts'
import { isTransient, StorageError } from './errors.ts'
import { retrying, usualRetries } from './retry.ts'
import type { TransferOptions } from './upload.ts'

export interface ObjectToFetch extends StoredObject {
  /** Absent: as the object's own metadata say, if they do. */
  readonly sha256?: string | undefined
}

export const partPath = (path: string): string => `${path}.incomplete`

/** How often a whole download may turn out damaged. */
const mostDamaged = 3

/**
 * Returns when `path` holds the object, checked.
 *
 * @param path of this content alone: what lies beside it from an earlier try is taken for the object's first bytes
 * @throws storage error where it cannot be had; checkpoint error where its bytes are wrong again and again; resource error for a
 *   full disk (the part is kept); the signal's reason on abort (the part is kept)
 */
export async function downloadObject(
  bucket: Bucket,
  object: ObjectToFetch,
  path: string,
  options: TransferOptions = {},
): Promise<void> {
  const part = partPath(path)
  const name = bucket.name(object.key)
  let handle: FileHandle | undefined
  try {
    await makeFolder(dirname(path))
    handle = await openToUpdate(part)
    let before: string | undefined
    for (let tries = 1; ; tries++) {
      const body = await receive(bucket, object, handle, options)
      const found = await digests(handle, options.signal)
      const verdict = compare(object, body, found)
      if (verdict === 'same') break
      // An ETag may be none of the MD5s: then bytes that came the same twice were not damaged on the way.
      if (verdict === 'other md5' && before === found.sha256) break
      before = found.sha256
      await handle.truncate(0)
      options.onBytes?.(-object.bytes)
      if (tries < mostDamaged) continue
      await discard(part)
      throw checkpointError(
        `${name}: its bytes are not those that were stored there (SHA-256 ${found.sha256}, expected ${object.sha256 ?? body?.sha256 ?? `ETag ${object.etag}`}); store it again`,
        { file: name, expected: object.sha256 ?? object.etag, found: found.sha256 },
      )
    }
    await handle.sync()
    await handle.close()
    handle = undefined
    await moveFile(part, path)
  } catch (error) {
    throw diskError(error, part, cacheAdvice)
  } finally {
    await handle?.close()
  }
}

function compare(
  { sha256, etag }: ObjectToFetch,
  body: ObjectBody | undefined,
  found: { sha256: string; md5: string },
): 'same' | 'other sha256' | 'other md5' {
  const expected = sha256 ?? body?.sha256
  if (expected !== undefined) return expected === found.sha256 ? 'same' : 'other sha256'
  if (!isMd5Etag(etag) || body?.opaqueEtag) return 'same' // sizes agree, and more is not known
  return etag.replaceAll('"', '') === found.md5 ? 'same' : 'other md5'
}

/** Asks for what is missing until all of it is there. @returns what the last answer said; undefined where nothing was asked */
async function receive(
  bucket: Bucket,
  object: ObjectToFetch,
  handle: FileHandle,
  { onBytes, signal, retry = usualRetries }: TransferOptions,
): Promise<ObjectBody | undefined> {
  const name = bucket.name(object.key)
  let at = (await handle.stat()).size
  if (at > object.bytes) {
    await handle.truncate(0)
    at = 0
  }
  onBytes?.(at)
  let furthest = at
  let body: ObjectBody | undefined
  // Where all is there but the name, its checksum may still have to be asked for.
  while (at < object.bytes || (body === undefined && object.sha256 === undefined)) {
    await retrying(
      retry,
      signal,
      async () => {
        if (at === object.bytes && at > 0) {
          body = await headers(bucket, object)
          return
        }
        const stall = new AbortController()
        const timer = setTimeout(() => stall.abort(), retry.stallMs)
        let begun = false
        try {
          body = await bucket.get(object.key, { start: at, etag: object.etag, signal: stall.signal })
          if (body.bytes !== object.bytes || ![0, at].includes(body.start))
            throw new StorageError(
              `${name}: is not the object that was listed; it was written meanwhile: run again`,
              'Changed',
              false,
            )
          if (body.start !== at) {
            // The server knows no ranges.
            onBytes?.(-at)
            at = 0
          }
          begun = true
          for await (const chunk of body.chunks) {
            timer.refresh()
            if (at + chunk.length > object.bytes) throw cut(name, object.bytes, at + chunk.length)
            for (let done = 0; done < chunk.length; )
              done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten
            at += chunk.length
            onBytes?.(chunk.length)
          }
        } catch (error) {
          if (stall.signal.aborted && !signal?.aborted)
            throw new StorageError(
              `${name}: ${bucket.host} was silent for ${retry.stallMs / 1000} s; run again to resume`,
              'Cut',
              true,
            )
          throw begun && isTransient(error) ? cut(name, object.bytes, at) : error
        } finally {
          clearTimeout(timer)
        }
        if (at < object.bytes) throw cut(name, object.bytes, at)
      },
      () => {
        const progressed = at > furthest
        furthest = Math.max(furthest, at)
        return progressed
      },
    )
    if (object.bytes === 0) break
  }
  return body
}

/** What the server says of an object of which nothing more is needed. */
async function headers(bucket: Bucket, { key, etag }: ObjectToFetch): Promise<ObjectBody> {
  const body = await bucket.get(key, { etag })
  for await (const _ of body.chunks) break
  return body
}

async function digests(handle: FileHandle, signal: AbortSignal | undefined): Promise<{ sha256: string; md5: string }> {
  const [sha256, md5] = [createHash('sha256'), createHash('md5')]
  for await (const bytes of handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 2 ** 20 })) {
    signal?.throwIfAborted()
    sha256.update(bytes)
    md5.update(bytes)
  }
  return { sha256: sha256.digest('hex'), md5: md5.digest('hex') }
}
