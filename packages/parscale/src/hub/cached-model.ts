/** Finds complete models in the hub's cache. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseSafetensorsIndex } from '@parscale/core/internal/checkpoint'
import { cachedCommit, fileSize, type ModelCache, modelCache } from './cache.ts'
import { matchesAny } from './model-files.ts'
import { checkRepoId, checkRevision, isSafeFileName } from './names.ts'
import { cacheDirectory, type HubOptions } from './settings.ts'

export interface CacheLookup extends Pick<HubOptions, 'cacheDirectory' | 'env'> {
  /** Branch, tag or commit. Default: main. */
  readonly revision?: string
}

/**
 * The snapshot folder of `repo` when the cache holds all of it, else undefined. Never touches the network.
 * @throws usage error when `repo` or the revision is not spelled as on the hub.
 */
export async function resolveCachedModel(repo: string, lookup: CacheLookup = {}): Promise<string | undefined> {
  const cache = modelCache(cacheDirectory(lookup), checkRepoId(repo))
  const { folder, missing } = await findSnapshot(cache, checkRevision(lookup.revision ?? 'main'))
  return missing.length === 0 ? folder : undefined
}

export interface Snapshot {
  /** Undefined when the revision was never pulled. */
  readonly folder: string | undefined
  /** What a complete model would have besides; empty for a complete one. */
  readonly missing: readonly string[]
}

/** Looks `revision` up, and lists what its snapshot lacks; each pattern of `include` must match something in it. */
export async function findSnapshot(cache: ModelCache, revision: string, include: readonly string[] = []): Promise<Snapshot> {
  const commit = await cachedCommit(cache, revision)
  if (commit === undefined) return { folder: undefined, missing: ['every file'] }
  const folder = cache.snapshot(commit)
  const present = await presentFiles(folder)
  if (present.size === 0) return { folder: undefined, missing: ['every file'] }
  const unmatched = include.filter((pattern) => ![...present].some((name) => matchesAny([pattern], name)))
  return { folder, missing: [...(await missingFiles(folder, present)), ...unmatched] }
}

/** Names, relative and with `/`, of files that really are there: a link into nothing does not count. */
async function presentFiles(folder: string): Promise<Set<string>> {
  const present = new Set<string>()
  for (const entry of await readdir(folder, { recursive: true }).catch(() => [])) {
    if ((await fileSize(join(folder, entry))) !== undefined) present.add(entry.replaceAll('\\', '/'))
  }
  return present
}

/** A model is its configuration and one file or all shards that its index names, or a GGUF file in all its parts. */
async function missingFiles(folder: string, present: ReadonlySet<string>): Promise<string[]> {
  const [single, index] = ['model.safetensors', 'model.safetensors.index.json']
  const gguf = [...present].filter((name) => name.endsWith('.gguf'))
  const safetensors = [...present].filter((name) => name.endsWith('.safetensors'))
  const wanted = new Set<string>()
  if (gguf.length > 0 && !present.has('config.json')) {
    for (const name of gguf.flatMap(allParts)) wanted.add(name)
  } else {
    wanted.add('config.json')
    if (present.has(index)) for (const name of await shardNames(join(folder, index), present.has(single))) wanted.add(name)
    else if (safetensors.length + gguf.length === 0) wanted.add(single)
    for (const name of gguf.flatMap(allParts)) wanted.add(name)
  }
  return [...wanted].filter((name) => !present.has(name))
}

/** `model-00002-of-00003.gguf` stands for three files. */
function allParts(name: string): string[] {
  const [, stem, count] = /^(.*)-\d{5}-of-(\d{5})\.gguf$/.exec(name) ?? []
  if (stem === undefined) return [name]
  return Array.from({ length: Number(count) }, (_, part) => `${stem}-${String(part + 1).padStart(5, '0')}-of-${count}.gguf`)
}

/** None where a single file comes before them, as where the model is opened; an index beside it must still be undamaged. */
async function shardNames(indexPath: string, hasSingle: boolean): Promise<string[]> {
  try {
    const names = [...new Set(parseSafetensorsIndex(await readFile(indexPath, 'utf8'), indexPath).values())]
    if (names.every(isSafeFileName)) return hasSingle ? [] : names
  } catch {
    // cannot be read or is malformed: as good as an index with wrong names
  }
  return ['an undamaged model.safetensors.index.json']
}
