/** What lies in the cache: unpacked, quantised and packed models, tokenized data. Listed, checked against hashes, removed. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { withFileLock } from '../disk/file-lock.ts'
import { type Damage, type FolderHashes, findDamage, isDamaged, markDamaged, readHashes } from '../disk/hashes.ts'
import { isInUse } from '../disk/in-use.ts'
import { removeLeftovers } from '../disk/partial.ts'
import { isWholeFolder, removeFolder } from '../disk/whole-folder.ts'
import { forgetGoneFiles } from './content.ts'
import { listing } from './model-cache.ts'

export const cacheKinds = ['gguf', 'quantised', 'packed', 'tokens'] as const
export type CacheKind = (typeof cacheKinds)[number]

export interface CacheEntry {
  readonly kind: CacheKind
  /** Path within the cache, with `/`. */
  readonly name: string
  readonly folder: string
  /** What it was first made of; undefined where an earlier version did not say. */
  readonly source: string | undefined
  /** How weights are stored, as `4 bits`. */
  readonly weights: string | undefined
  /** Which engine reads it. */
  readonly engine: string | undefined
  readonly sizeBytes: number
  readonly lastUsed: Date
  /** `incomplete`: a file is missing or has another length; `outdated`: an earlier version made it, and this one does not read it. */
  readonly state: 'whole' | 'incomplete' | 'damaged' | 'outdated'
  /** By a process that runs. */
  readonly inUse: boolean
}

/** All entries, by kind and name. Empty where there is no cache. */
export async function cacheEntries(cacheDirectory: string): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = []
  for (const kind of cacheKinds) {
    const found = await readdir(join(cacheDirectory, kind), { withFileTypes: true }).catch(() => [])
    const names = found.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name)
    for (const name of names.sort()) entries.push(await describe(cacheDirectory, kind, `${kind}/${name}`))
  }
  return entries
}

async function describe(cacheDirectory: string, kind: CacheKind, name: string): Promise<CacheEntry> {
  const folder = join(cacheDirectory, name)
  const [hashes, damaged, { mtime }, inUse] = await Promise.all([
    readHashes(folder),
    isDamaged(folder),
    stat(folder),
    isInUse(folder),
  ])
  // Token files know themselves whether they are whole, when they are opened.
  const whole = kind === 'tokens' || (await isWholeFolder(folder, listing))
  const outdated = kind !== 'tokens' && hashes?.content === undefined
  const state = damaged ? 'damaged' : !whole ? 'incomplete' : outdated ? 'outdated' : 'whole'
  const { source, weights, engine } = hashes ?? {}
  return { kind, name, folder, source, weights, engine, sizeBytes: await folderBytes(folder), lastUsed: mtime, state, inUse }
}

async function folderBytes(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}

export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: (bytes: number) => void
}

/** What an entry's hashes say: undefined where an earlier version made it, which wrote none. */
export interface Verified {
  readonly hashes: FolderHashes | undefined
  readonly damage: Damage | undefined
}

/** Reads all of an entry and compares it with its hashes. One that is damaged is marked: it is made anew when next asked for. */
export async function verifyEntry({ folder }: CacheEntry, options: VerifyOptions = {}): Promise<Verified> {
  const hashes = await readHashes(folder)
  const damage = hashes && (await findDamage(folder, hashes, options))
  if (damage) await markDamaged(folder, damage)
  return { hashes, damage }
}

/**
 * Removes an entry, once nobody makes entries beside it; one that a running process uses stays.
 *
 * @returns whether it is gone
 * @throws as withFileLock
 */
export async function removeEntry({ folder }: CacheEntry, signal?: AbortSignal): Promise<boolean> {
  const advice = { full: 'free some space', denied: `remove ${basename(folder)} as the user who owns it` }
  return await withFileLock(join(dirname(folder), '.lock'), { signal, advice }, async () => {
    return !(await isInUse(folder)) && (await removeFolder(folder, isInUse))
  })
}

/** Removes what killed processes left, and what is remembered of files that are gone. */
export async function tidyCache(cacheDirectory: string): Promise<void> {
  for (const kind of [...cacheKinds, 'sources']) await removeLeftovers(join(cacheDirectory, kind))
  await forgetGoneFiles(cacheDirectory)
}
