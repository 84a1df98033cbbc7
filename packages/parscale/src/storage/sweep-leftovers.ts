/** What processes that were killed have left at a place of ours: objects that no manifest names, and parts of uploads. */
import { type Address, below, prefixOf } from './address.ts'
import type { Bucket } from './client.ts'
import { lockName, manifestName } from './manifest.ts'

/**
 * Removes what we have stored and is not `kept`. For the one process that holds the place's lock. Places below with a lock or manifest of their own
 * are left alone.
 *
 * @param kept keys of objects
 */
export async function sweepLeftovers(bucket: Bucket, address: Address, kept: ReadonlySet<string>): Promise<void> {
  const own = new Set([lockName, manifestName].map((name) => below(address, name).key))
  const keys: string[] = []
  for await (const { key } of bucket.list(prefixOf(address))) keys.push(key)
  const others = keys
    .filter((key) => !own.has(key) && (key.endsWith(`/${lockName}`) || key.endsWith(`/${manifestName}`)))
    .map((key) => key.slice(0, key.lastIndexOf('/') + 1))
  const isOurs = (key: string) => !own.has(key) && !others.some((place) => key.startsWith(place))
  for (const upload of await bucket.pendingUploads(prefixOf(address))) if (isOurs(upload.key)) await bucket.abortUpload(upload)
  // What people have laid beside it stays.
  for (const key of keys) if (isOurs(key) && !kept.has(key) && (await bucket.find(key))?.sha256) await bucket.remove(key)
}
