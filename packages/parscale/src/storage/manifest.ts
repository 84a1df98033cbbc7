/**
 * What makes a folder of many objects appear at once: `parscale-manifest.json`, written last, names every file with its object, size
 * and SHA-256. Readers take what it names and nothing else. Beside it, while somebody writes, lies `parscale-lock.json`.
 */
import { checkpointError } from '@parscale/core/internal'
import * as z from 'zod'
import { isSafeFileName } from '../hub/names.ts'
import { type Address, below } from './address.ts'
import { type Bucket, isMissing, type PutConditions } from './client.ts'
import { codeOf } from './errors.ts'
import { retrying, usualRetries } from './retry.ts'

export const manifestName = 'parscale-manifest.json'
export const lockName = 'parscale-lock.json'
const mostBytes = 64 * 2 ** 20

const safe = z.string().refine(isSafeFileName, 'should be a plain relative path')
const file = z.strictObject({
  /** Of the object, relative to the manifest's folder. */
  key: safe,
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
const manifest = z.strictObject({
  format: z.literal(1),
  kind: z.enum(['run', 'folder']),
  /** The same for all manifests of a run. */
  id: z.string(),
  /** How many were written before. */
  sequence: z.int().nonnegative(),
  time: z.string(),
  files: z.record(safe, file),
})
export type Manifest = z.infer<typeof manifest>
export type ManifestFile = z.infer<typeof file>

export interface FoundManifest {
  readonly manifest: Manifest
  readonly etag: string
}

/** @throws checkpoint error for one that is damaged */
export async function readManifest(bucket: Bucket, address: Address): Promise<FoundManifest | undefined> {
  const { key } = below(address, manifestName)
  const found = await retrying(usualRetries, undefined, () => bucket.read(key, mostBytes))
  if (!found) return undefined
  const name = bucket.name(key)
  const damaged = (what: string) => checkpointError(`${name}: ${what}; nothing below it can be read`, { file: name })
  let value: unknown
  try {
    value = JSON.parse(found.bytes.toString('utf8'))
  } catch {
    throw damaged('is no JSON')
  }
  const parsed = manifest.safeParse(value)
  if (parsed.success) return { manifest: parsed.data, etag: found.etag }
  const { path, message } = parsed.error.issues[0]!
  throw damaged(`is damaged: ${path.join('.') || 'it'}: ${message}`)
}

/** @throws code PreconditionFailed where another one was written meanwhile @returns its ETag */
export const writeManifest = (
  bucket: Bucket,
  address: Address,
  content: Manifest,
  replaces: string | undefined,
): Promise<string> =>
  putOnce(
    bucket,
    below(address, manifestName).key,
    new TextEncoder().encode(`${JSON.stringify(content, null, 1)}\n`),
    replaces === undefined ? { absent: true } : { replaces },
  )

/**
 * A conditional write that may be repeated: an answer that was lost on the way must not make our own object look like somebody
 * else's. Endpoints that know no conditions (501) are written to without.
 */
export async function putOnce(bucket: Bucket, key: string, bytes: Uint8Array, conditions: PutConditions): Promise<string> {
  return await retrying(usualRetries, undefined, async () => {
    try {
      return await bucket.put(key, bytes, conditions)
    } catch (error) {
      if (codeOf(error) === 'NotImplemented') return await bucket.put(key, bytes)
      if (codeOf(error) !== 'PreconditionFailed' && !isMissing(error)) throw error
      const there = await bucket.read(key, mostBytes)
      if (there && Buffer.compare(there.bytes, bytes) === 0) return there.etag
      throw error
    }
  })
}
