/** Packed files in the cache: made once from a checkpoint, identified by what is in the checkpoint's weight files, then mapped. */
import { createHash } from 'node:crypto'
import { readdir, realpath, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { checkpointError } from '@parscale/core/internal'
import { isQuantised, type StoredData } from '@parscale/core/internal/model'
import { moveFile, openToRead, writeWholeFolder } from '@parscale/core/internal/node/disk'
import {
  type CachedFolder,
  cachedModelFolder,
  contentOf,
  hasCachedFolder,
  knownContentOf,
  type ModelCacheOptions,
  newCachedFolder,
} from '@parscale/core/internal/node/models'
import { type PackPlan, packedWeightsText } from '@parscale/core/internal/packed'
import { writePacked } from './pack.ts'

/**
 * Raised when what lies in a packed file changes without its header, as where other integers are made of the same floats. Changes of
 * the layout have a number of their own (packed-layout.ts).
 */
const packingVersion = 3
const fileName = 'weights'

/**
 * The packed file of a plan, made now if it is not there, not whole or of other content. Files with the same content share one,
 * whatever their names: sizes, formats and places of all tensors are in the header, and so what was made of that content.
 *
 * A source is hashed when it is first seen, or was changed. Where nothing in the cache can have been made of it, it is packed meanwhile.
 *
 * @param kind what the plan is of, as `backbone`; names the file for people
 * @throws as writePacked and cachedModelFolder
 */
export async function packedFile(
  kind: string,
  plan: PackPlan,
  { threads = availableParallelism(), ...given }: ModelCacheOptions & { readonly threads?: number | undefined },
): Promise<string> {
  const sources = await sourcePaths(plan)
  const options = { ...given, cacheDirectory: await besideCached(dirname(sources[0]!), given.cacheDirectory) }
  const known = await Promise.all(sources.map((source) => knownContentOf(source, options)))
  const unknown = sources.filter((_, i) => known[i] === undefined)
  const job: Job = { kind, plan, sources, threads, options, progress: await jointProgress(unknown, plan, given) }
  const isNew = async (parent: string) => !(await hasSuch(parent, kind, plan))
  const meanwhile = unknown.length > 0 && (await isNew(join(options.cacheDirectory, 'packed')))
  const made =
    meanwhile && (await newCachedFolder({ ...folderName(kind), isNew, write: (partial) => packAndHash(job, partial) }, options))
  const folder =
    made ||
    (await cachedModelFolder(
      cachedFolder(job, await contentsOf(job), (path, signal) => pack(job, path, signal)),
      options,
    ))
  return join(folder, fileName)
}

interface Job {
  readonly kind: string
  readonly plan: PackPlan
  readonly sources: readonly string[]
  readonly threads: number
  readonly options: ModelCacheOptions
  readonly progress: JointProgress
}

const folderName = (kind: string) => ({ kind: 'packed', label: kind })

/** Whether packedFile would find it, and write nothing. What has not been hashed, or is not there yet, counts as new. */
export async function isPacked(
  kind: string,
  plan: PackPlan,
  { cacheDirectory: given }: Pick<ModelCacheOptions, 'cacheDirectory'>,
): Promise<boolean> {
  const sources = await sourcePaths(plan).catch(() => undefined)
  if (!sources) return false
  const cacheDirectory = await besideCached(dirname(sources[0]!), given)
  const contents = await Promise.all(sources.map((source) => knownContentOf(source, { cacheDirectory })))
  const known = contents.filter((content) => content !== undefined)
  return known.length === sources.length && (await hasCachedFolder(described({ kind, plan, sources }, known), { cacheDirectory }))
}

/** @param write makes the packed file at a path */
const cachedFolder = (
  job: Job,
  contents: readonly string[],
  write: (path: string, signal: AbortSignal | undefined) => Promise<void>,
): CachedFolder => ({
  ...described(job, contents),
  make: (target, writing) => writeWholeFolder(target, (temporary) => write(join(temporary, fileName), writing.signal), writing),
})

function described(
  { kind, plan, sources }: Pick<Job, 'kind' | 'plan' | 'sources'>,
  contents: readonly string[],
): Omit<CachedFolder, 'make'> {
  const content = createHash('sha256').update(contents.join()).digest('hex').slice(0, 24)
  return {
    ...folderName(kind),
    source: sources.length === 1 && sources[0]!.endsWith('.gguf') ? sources[0]! : dirname(sources[0]!),
    origin: { content, weights: packedWeightsText(plan.tensors.map(({ layout }) => layout)), engine: 'native' },
    identity: [content, kind, createHash('sha256').update(plan.header).digest('hex')],
    state: [packingVersion],
  }
}

/** Packs while another thread hashes what is packed. */
async function packAndHash(job: Job, partial: string): Promise<CachedFolder> {
  const { sources, options } = job
  const stop = new AbortController()
  const abort = () => stop.abort(options.signal!.reason)
  options.signal?.addEventListener('abort', abort)
  const before = await versionsOf(sources)
  const both = [contentsOf(job, stop.signal), pack(job, partial, stop.signal)] as const
  try {
    const [contents] = await Promise.all(both)
    const changed = sources[(await versionsOf(sources)).findIndex((version, i) => version !== before[i])]
    if (changed !== undefined)
      throw checkpointError(`${changed}: changes while it is read; wait until whoever writes it is done`, { file: changed })
    return cachedFolder(job, contents, (path) => moveFile(partial, path))
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(both)
    throw error
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

const pack = ({ plan, threads, progress }: Job, path: string, signal: AbortSignal | undefined): Promise<void> =>
  writePacked(path, plan, threads, { signal, onProgress: ({ doneBytes }) => progress.packed(doneBytes) })

async function contentsOf({ sources, options, progress }: Job, signal = options.signal): Promise<string[]> {
  const contents: string[] = []
  for (const source of sources)
    contents.push(await contentOf(source, { cacheDirectory: options.cacheDirectory, signal, onBytes: progress.hashed }))
  return contents
}

/** What changes with every write, and cannot be set back. */
const versionsOf = (paths: readonly string[]): Promise<string[]> =>
  Promise.all(
    paths.map(async (path) => {
      const { size, mtimeNs, ctimeNs, ino } = await stat(path, { bigint: true })
      return [size, mtimeNs, ctimeNs, ino].join()
    }),
  )

/** Whether there is a packed file with this header, of whatever content. */
async function hasSuch(parent: string, kind: string, { header }: PackPlan): Promise<boolean> {
  for (const name of await readdir(parent).catch((): string[] => [])) {
    if (!name.startsWith(`${kind}-`)) continue
    const file = await openToRead(join(parent, name, fileName)).catch(() => undefined)
    if (!file) continue
    const found = new Uint8Array(header.length)
    try {
      await file.read(found, 0, found.length, 0)
    } finally {
      await file.close()
    }
    if (Buffer.compare(found, header) === 0) return true
  }
  return false
}

interface JointProgress {
  hashed(bytes: number): void
  packed(doneBytes: number): void
}

/** Of hashing and packing together. */
async function jointProgress(
  sources: readonly string[],
  { totalBytes }: PackPlan,
  { onProgress }: Pick<ModelCacheOptions, 'onProgress'>,
): Promise<JointProgress> {
  const sizes = await Promise.all(sources.map(async (path) => (await stat(path)).size))
  const toHash = sizes.reduce((sum, size) => sum + size, 0)
  // What takes a blink shows nothing.
  const isLong = toHash > 64 << 20
  let [hashed, packed] = [0, 0]
  const say = () => onProgress?.({ doneBytes: hashed + packed, totalBytes: (isLong ? toHash : 0) + totalBytes })
  return {
    hashed(bytes) {
      if (!isLong) return
      hashed += bytes
      say()
    },
    packed(doneBytes) {
      packed = doneBytes
      say()
    },
  }
}

/** What is made of a folder of the cache lies within that folder, and goes with it. */
async function besideCached(home: string, cacheDirectory: string): Promise<string> {
  const cache = await realpath(cacheDirectory).catch(() => cacheDirectory)
  return home.startsWith(cache + sep) ? home : cacheDirectory
}

/** The files that a plan's weights lie in or are made of, in the order of their tensors: the same for the same content. */
async function sourcePaths({ tensors }: PackPlan): Promise<string[]> {
  const parts = tensors.flatMap(({ stored }): StoredData[] =>
    isQuantised(stored) ? [stored.data, stored.scales, ...(stored.zeroPoints ? [stored.zeroPoints.data] : [])] : [stored.data],
  )
  const paths = new Set(parts.flatMap(({ path, made }) => made?.madeFrom ?? [path]))
  return [...new Set(await Promise.all([...paths].map((path) => realpath(path))))]
}
