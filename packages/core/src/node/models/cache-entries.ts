/** What lies in the cache: unpacked, quantised and packed models, tokenized data. Listed, checked against hashes, removed. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { withFileLock } from '../disk/file-lock.ts'
import { type Damage, type FolderHashes, findDamage, isDamaged, markDamaged, readHashes } from '../disk/hashes.ts'
import { isWholeFolder, removeFolder } from '../disk/whole-folder.ts'
import { listing } from './model-cache.ts'

export const cacheKinds = ['gguf', 'quantised', 'packed', 'tokens'] as const
export type CacheKind = (typeof cacheKinds)[number]

export interface CacheEntry {
  readonly kind: CacheKind
  /** Path within the cache, with `/`. What was packed of a cached model lies within that. */
  readonly name: string
  readonly folder: string
  /** What it was made of; undefined where an earlier version did not say. */
  readonly source: string | undefined
  /** Without the entries within it. */
  readonly sizeBytes: number
  readonly lastUsed: Date
  /** `incomplete`: a file is missing or has another length. */
  readonly state: 'whole' | 'incomplete' | 'damaged'
}

/** All entries, by kind and name. Empty where there is no cache. */
export async function cacheEntries(cacheDirectory: string): Promise<CacheEntry[]> {
  const all = await Promise.all(cacheKinds.map((kind) => entriesOf(cacheDirectory, kind, kind)))
  return all.flat()
}

async function entriesOf(cacheDirectory: string, kind: CacheKind, path: string): Promise<CacheEntry[]> {
  const found = await readdir(join(cacheDirectory, path), { withFileTypes: true }).catch(() => [])
  const names = found.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name)
  const entries: CacheEntry[] = []
  for (const name of names.sort()) {
    const within = `${path}/${name}`
    entries.push(await describe(cacheDirectory, kind, within))
    if (kind === 'gguf' || kind === 'quantised') entries.push(...(await entriesOf(cacheDirectory, 'packed', `${within}/packed`)))
  }
  return entries
}

async function describe(cacheDirectory: string, kind: CacheKind, name: string): Promise<CacheEntry> {
  const folder = join(cacheDirectory, name)
  const [hashes, damaged, { mtime }] = await Promise.all([readHashes(folder), isDamaged(folder), stat(folder)])
  // Token files know themselves whether they are whole, when they are opened.
  const whole = kind === 'tokens' || (await isWholeFolder(folder, listing))
  const state = damaged ? 'damaged' : whole ? 'whole' : 'incomplete'
  return { kind, name, folder, source: hashes?.source, sizeBytes: await folderBytes(folder, 'packed'), lastUsed: mtime, state }
}

async function folderBytes(folder: string, except?: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && entry.name !== except) sum += await folderBytes(path)
    else if (entry.isFile()) sum += (await stat(path)).size
  }
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

/** Removes an entry and those within it, once nobody makes entries beside it. @throws as withFileLock */
export async function removeEntry({ folder }: CacheEntry, signal?: AbortSignal): Promise<void> {
  const advice = { full: 'free some space', denied: `remove ${basename(folder)} as the user who owns it` }
  await withFileLock(join(dirname(folder), '.lock'), { signal, advice }, () => removeFolder(folder))
}
