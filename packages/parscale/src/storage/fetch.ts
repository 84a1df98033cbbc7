/**
 * Models and data of storage into the cache, and where they lie there:
 *
 *     s3/blobs/<hash>              contents, by SHA-256 where storage says it, else by place and ETag
 *     s3/snapshots/<hash>/<file>   links into blobs: what lay at a place, so that what has changed is another folder
 */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { resourceError, usageError } from '@parscale/core/internal'
import { cacheAdvice, diskError, linkFile, makeFolder, withFileLock } from '@parscale/core/internal/node'
import { cacheFolder } from '../home-folder.ts'
import { freeBytes } from '../hub/disk-space.ts'
import { matchesAny } from '../hub/model-files.ts'
import { isSafeFileName, quote } from '../hub/names.ts'
import { formatAmount } from '../terminal/progress.ts'
import { type Address, below, type Fetching, isStorageName, nameOf, parseStorageName, prefixOf } from './address.ts'
import { Bucket } from './client.ts'
import { downloadObject, type ObjectToFetch, partPath } from './download.ts'
import { codeOf } from './errors.ts'
import { type FoundManifest, lockName, manifestName, readManifest } from './manifest.ts'

/** An object, and what it is called in the folder that is made here. */
export interface ChosenObject extends ObjectToFetch {
  readonly path: string
}

/** What was found may be replaced before it is here; then it is looked for anew, so often. */
const mostTries = 3
const mostObjects = 10_000

/**
 * A model's folder or .gguf file, here.
 *
 * @throws usage error where there is no model; storage errors; as downloadObject
 */
export async function fetchModel(name: string, fetching: Fetching = {}): Promise<string> {
  const address = parseStorageName(name, 'model')
  return await inBucket(address, fetching, async (bucket) => {
    const objects = await modelObjects(bucket, address)
    const folder = await snapshot(bucket, objects, fetching)
    return /\.gguf$/i.test(address.key) ? join(folder, address.key.slice(address.key.lastIndexOf('/') + 1)) : folder
  })
}

/**
 * Data files, here, in place of each name that is one of storage: an object, a folder or a pattern (`*` any characters, `?` one).
 * Other names come back as they are.
 */
export async function fetchData(names: readonly string[], fetching: Fetching = {}): Promise<string[]> {
  const here: string[] = []
  for (const name of names) {
    if (!isStorageName(name)) {
      here.push(name)
      continue
    }
    const address = parseStorageName(name, '--data')
    const files = await inBucket(address, fetching, async (bucket) => {
      const objects = await dataObjects(bucket, address)
      const folder = await snapshot(bucket, objects, fetching)
      return objects.map(({ path }) => join(folder, path))
    })
    here.push(...files)
  }
  return here
}

/**
 * The folder of a run, here, to be read.
 *
 * @param checkpoints only the newest, which is all that most readers need, or all of them
 * @throws usage error where there is no run
 */
export async function fetchStoredRun(name: string, checkpoints: 'last' | 'all', fetching: Fetching = {}): Promise<string> {
  const address = parseStorageName(name, 'run')
  return await inBucket(address, fetching, async (bucket) => {
    const found = await readManifest(bucket, address)
    if (found?.manifest.kind !== 'run')
      throw usageError(`${nameOf(address)}: there is no run; name one that parscale train --out has stored`, { found: name })
    const objects = objectsOf(found, address, '')
    const stepOf = (path: string) => /^checkpoints\/step-(\d+)\//.exec(path)?.[1]
    const newest = Math.max(-1, ...objects.map(({ path }) => Number(stepOf(path) ?? -1)))
    const isWanted = ({ path }: ChosenObject) =>
      checkpoints === 'all' || stepOf(path) === undefined || Number(stepOf(path)) === newest
    return await snapshot(bucket, objects.filter(isWanted), fetching)
  })
}

async function inBucket<T>(address: Address, { signal }: Fetching, work: (bucket: Bucket) => Promise<T>): Promise<T> {
  const bucket = await Bucket.open(address.bucket, signal)
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await work(bucket)
      } catch (error) {
        const replaced = ['NoSuchKey', 'PreconditionFailed', 'Changed'].includes(codeOf(error) ?? '')
        if (!replaced || tries === mostTries) throw error
      }
    }
  } finally {
    bucket.close()
  }
}

const modelFile = /\.(safetensors|gguf|json|jinja|txt|model|md)$|(^|\/)LICENSE[^/]*$/i

async function modelObjects(bucket: Bucket, address: Address): Promise<ChosenObject[]> {
  const name = nameOf(address)
  const isFile = /\.gguf$/i.test(address.key)
  const found = isFile ? undefined : await manifestFor(bucket, address)
  if (found?.manifest.kind === 'run')
    throw usageError(`${name}: is a run; name its model, ${name}/model, or its streams, --stream-set ${name}/streams`, {
      found: name,
    })
  if (found) return objectsOf(found, address, '')
  // What a run or an export has stored is as its manifest says, whatever lies beside it.
  const slash = address.key.lastIndexOf('/')
  if (slash > 0) {
    const parent = { bucket: address.bucket, key: address.key.slice(0, slash) }
    const above = await manifestFor(bucket, parent)
    const last = address.key.slice(slash + 1)
    const inside = above && objectsOf(above, parent, isFile ? last : `${last}/`)
    if (inside && inside.length > 0) return inside
  }
  if (isFile) {
    const objects: ChosenObject[] = []
    for (const key of ggufParts(address.key)) objects.push(await requireObject(bucket, key))
    return objects
  }
  const listed = await list(bucket, prefixOf(address), (path) => modelFile.test(path))
  const lock = below(address, lockName).key
  if (listed.objects.length === 0 || listed.others.includes(lock)) {
    const what = listed.others.includes(lock)
      ? 'somebody is writing there, or was stopped before all was there'
      : 'there is no such folder with a model, nor an object of that name'
    throw usageError(`${name}: ${what}; aws s3 ls ${name}/ shows what is there`, { found: name })
  }
  return listed.objects
}

async function dataObjects(bucket: Bucket, address: Address): Promise<ChosenObject[]> {
  const name = nameOf(address)
  const object = address.key === '' ? undefined : await findObject(bucket, address.key)
  if (object) return [object]
  const special = address.key.search(/[*?]/)
  const nothing = (what: string) => usageError(`--data ${name}: ${what}`, { flag: 'data', found: name })
  if (special >= 0) {
    const prefix = address.key.slice(0, special)
    const start = prefix.lastIndexOf('/') + 1
    const { objects } = await list(bucket, prefix, () => true, start)
    const matching = objects.filter(({ key }) => matchesAny([address.key], key))
    if (matching.length > 0) return matching
    throw nothing('no object matches')
  }
  const { objects } = await list(bucket, prefixOf(address), (path) => /\.(txt|jsonl|ndjson|parquet)$/i.test(path))
  if (objects.length > 0) return objects
  throw nothing('there is no such object, nor a folder with .txt, .jsonl, .ndjson or .parquet files')
}

/** Where the key of an object may be read, but not the bucket's list, S3 answers 403 for one that is not there. */
async function manifestFor(bucket: Bucket, address: Address): Promise<FoundManifest | undefined> {
  return await readManifest(bucket, address).catch((error) => {
    if (codeOf(error) === 'AccessDenied') return undefined
    throw error
  })
}

/** What a manifest names below `prefix`, without it; a file of that very name. */
export function objectsOf({ manifest }: FoundManifest, address: Address, prefix: string): ChosenObject[] {
  return Object.entries(manifest.files).flatMap(([path, { key, bytes, sha256 }]) => {
    if (!(prefix === '' || prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix)) return []
    const inside = prefix.endsWith('/') ? path.slice(prefix.length) : path
    return [{ path: inside, key: below(address, key).key, bytes, sha256, etag: '' }]
  })
}

async function findObject(bucket: Bucket, key: string): Promise<ChosenObject | undefined> {
  try {
    const found = await bucket.find(key)
    return found && { ...found, path: key.slice(key.lastIndexOf('/') + 1) }
  } catch (error) {
    // HEAD has no body to say more in: whether it is the bucket, a list does.
    for await (const object of bucket.list(key))
      if (object.key === key) return { ...object, path: key.slice(key.lastIndexOf('/') + 1) }
    throw error
  }
}

async function requireObject(bucket: Bucket, key: string): Promise<ChosenObject> {
  const found = await findObject(bucket, key)
  if (found) return found
  // Says where there is no bucket either.
  for await (const _ of bucket.list(key)) break
  throw usageError(`${bucket.name(key)}: there is no such object; check bucket and key`, { found: bucket.name(key) })
}

/** `x-00002-of-00003.gguf` stands for three objects. */
function ggufParts(key: string): string[] {
  const [, stem, count] = /^(.*)-\d{5}-of-(\d{5})\.gguf$/.exec(key) ?? []
  if (stem === undefined || Number(count) > mostObjects) return [key]
  return Array.from({ length: Number(count) }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`)
}

/** @param start how many characters of a key are not part of the path */
async function list(bucket: Bucket, prefix: string, wanted: (path: string) => boolean, start = prefix.length) {
  const [objects, others]: [ChosenObject[], string[]] = [[], []]
  for await (const object of bucket.list(prefix)) {
    const path = object.key.slice(start)
    if (path === '' || path.endsWith('/')) continue // what consoles make to show a folder
    if (!isSafeFileName(path))
      throw usageError(`${bucket.name(prefix)}: has an object whose name cannot be a file's: ${quote(path)}`, { found: path })
    const isOurs = [manifestName, lockName].includes(path.slice(path.lastIndexOf('/') + 1))
    if (!isOurs && wanted(path)) objects.push({ ...object, path })
    else others.push(object.key)
    if (objects.length > mostObjects)
      throw usageError(`${bucket.name(prefix)}: has more than ${mostObjects} objects; name a folder with fewer`, {
        found: prefix,
      })
  }
  return { objects, others }
}

/** Brings all of them here; the folder holds nothing else. */
async function snapshot(bucket: Bucket, objects: readonly ChosenObject[], fetching: Fetching): Promise<string> {
  const cache = join(cacheFolder(fetching.env ?? process.env), 's3')
  const named = objects.map((object) => ({ object, blob: join(cache, 'blobs', blobName(bucket, object)) }))
  const content = named.map(({ object, blob }) => `${object.path}\n${blob.slice(cache.length)}\n`).sort()
  const folder = join(cache, 'snapshots', digest(content.join('')).slice(0, 40))
  const totalBytes = objects.reduce((sum, { bytes }) => sum + bytes, 0)
  let doneBytes = 0
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    fetching.onDownload?.({ doneBytes, totalBytes })
  }
  await requireSpace(cache, named)
  for (const { object, blob } of named) {
    const path = join(folder, object.path)
    if ((await sizeOf(path)) === object.bytes) {
      onBytes(object.bytes)
      continue
    }
    // Of two processes that want the same bytes, one fetches them.
    const locking = { signal: fetching.signal, advice: cacheAdvice }
    await withFileLock(`${blob}.lock`, locking, async () => {
      if ((await sizeOf(blob)) === object.bytes) onBytes(object.bytes)
      else await downloadObject(bucket, object, blob, { onBytes, signal: fetching.signal })
    })
    await linkFile(blob, path).catch((error) => {
      throw diskError(error, path, cacheAdvice)
    })
  }
  return folder
}

const blobName = (bucket: Bucket, { sha256, key, etag, bytes }: ObjectToFetch): string =>
  sha256 ?? digest([bucket.host, bucket.bucket, key, etag, bytes].join('\n'))

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  )

async function requireSpace(cache: string, named: readonly { object: ChosenObject; blob: string }[]): Promise<void> {
  let missing = 0
  for (const { object, blob } of named)
    if ((await sizeOf(blob)) !== object.bytes) missing += Math.max(0, object.bytes - ((await sizeOf(partPath(blob))) ?? 0))
  if (missing === 0) return
  await makeFolder(cache).catch((error) => {
    throw diskError(error, cache, cacheAdvice)
  })
  const free = await freeBytes(cache)
  if (free >= missing) return
  throw resourceError(
    `${cache}: ${formatAmount(missing, 'B')} to download, ${formatAmount(free, 'B')} free; make room or set PARSCALE_CACHE to a folder on another disk`,
    { file: cache, expected: missing, found: free },
  )
}
