/** Names of object storage: `s3://BUCKET/KEY`. A key becomes a path on this machine, so what could leave a folder is refused. */
import { usageError } from '@parscale/core/internal'
import { isSafeFileName, quote } from '../hub/names.ts'
import type { Environment } from '../hub/settings.ts'

export interface Address {
  readonly bucket: string
  /** Without a slash at the end; empty for the whole bucket. */
  readonly key: string
}

export const isStorageName = (name: string): boolean => /^s3:/i.test(name)

/** S3's own rule, and the dots, underscores and capitals that older buckets and other endpoints allow. */
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/

/**
 * @param what the flag or argument that has the name, for errors
 * @throws usage error for a name of another form; what looks like credentials is not repeated
 */
export function parseStorageName(name: string, what = 's3 name'): Address {
  const expected = `${what}: expected s3://BUCKET/KEY`
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]*)\/?(.*)$/s.exec(name) ?? []
  if (/[@:]/.test(bucket))
    throw usageError(
      `${expected} without credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL for an endpoint`,
      { flag: what },
    )
  if (!bucketPattern.test(bucket)) throw usageError(`${expected}, got ${quote(name)}`, { flag: what, found: name })
  const key = rest.replace(/\/$/, '')
  if (key !== '' && !isSafeFileName(key))
    throw usageError(`${expected}; KEY has no empty parts, "." or "..", got ${quote(name)}`, { flag: what, found: name })
  return { bucket, key }
}

export const nameOf = ({ bucket, key }: Address): string => (key === '' ? `s3://${bucket}` : `s3://${bucket}/${key}`)

/** The address of something below another one. */
export const below = ({ bucket, key }: Address, path: string): Address => ({ bucket, key: key === '' ? path : `${key}/${path}` })

/** What all keys below an address begin with. */
export const prefixOf = ({ key }: Address): string => (key === '' ? '' : `${key}/`)

/** Of whoever wants what lies there. */
export interface Fetching {
  readonly env?: Environment | undefined
  readonly signal?: AbortSignal | undefined
  readonly onDownload?: ((progress: { readonly doneBytes: number; readonly totalBytes: number }) => void) | undefined
}
