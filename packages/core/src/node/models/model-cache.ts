/**
 * Folders that are made once from a model and kept: GGUF files unpacked, weights quantised or packed. One is found again by what is in
 * what it was made of, and how; where it is not whole, it is made anew. One process at a time writes, the others wait. So a
 * partial folder that is found while the lock is held was left by a killed process, and is deleted.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheAdvice, diskError } from '../disk/disk-error.ts'
import { type LockOptions, removeStaleLock, withFileLock } from '../disk/file-lock.ts'
import { readHashes } from '../disk/hashes.ts'
import { isInUse, markInUse } from '../disk/in-use.ts'
import { removeLeftovers, withPartial } from '../disk/partial.ts'
import { isWholeFolder, noteUse, removeFolder } from '../disk/whole-folder.ts'
import type { WriteFolderOptions } from '../disk/write-folder.ts'
import { type Claim, claim, claimOf, forgetGoneFiles, isClaimed } from './content.ts'

export interface ModelCacheOptions extends Pick<WriteFolderOptions, 'onProgress' | 'signal'> {
  readonly cacheDirectory: string
  /** Called when another process is making folders, once for each; this one waits for it. */
  readonly onWait?: LockOptions['onWait']
  /** Called with a folder that was made before: who has time can check that it is still what was written (checkInBackground). */
  readonly onFound?: ((folder: string) => void) | undefined
}

export interface CachedFolder {
  /** Of things that lie together, such as 'gguf'. */
  readonly kind: string
  /** What it is, as `int8`: a readable beginning of the folder's name. */
  readonly label: string
  /** The file or folder that it is made of: for people, since it is found by `identity`. */
  readonly source: string
  /** Says more about it to people, and what was in `source`. */
  readonly origin?: WriteFolderOptions['origin']
  /** What it is made of, and how: one folder is kept of each. */
  readonly identity: readonly unknown[]
  /** What changes with this program: versions of formats. */
  readonly state: readonly unknown[]
  /** Writes the folder, all or nothing. */
  make(
    folder: string,
    options: Pick<WriteFolderOptions, 'advice' | 'listing' | 'source' | 'origin' | 'onProgress' | 'signal'>,
  ): Promise<unknown>
}

/** Name of the file that lists the others of a cached folder. */
export const listing = 'files.json'

/**
 * The folder, made now if it is not there or not whole. Older ones of the same identity are removed, and what was made of other
 * content that stood at the same path.
 *
 * @throws what `make` throws; resource error when the disk is full; the signal's reason when aborted
 */
export async function cachedModelFolder(wanted: CachedFolder, options: ModelCacheOptions): Promise<string> {
  const { cacheDirectory, onFound } = options
  const { folder, parent, own } = placeOf(wanted, cacheDirectory)
  if (await useFolder(folder)) {
    if (own) await claim(own, cacheDirectory)
    await removeStaleLock(join(parent, '.lock'))
    onFound?.(folder)
    return folder
  }
  return await locked(parent, options, async () => {
    if (await useFolder(folder)) return folder // made while this process waited
    await removeLeftovers(parent, 'all')
    return await makeFolder(wanted, options)
  })
}

/** Whether cachedModelFolder would find it, and write nothing. */
export const hasCachedFolder = (
  wanted: Omit<CachedFolder, 'make'>,
  { cacheDirectory }: Pick<ModelCacheOptions, 'cacheDirectory'>,
): Promise<boolean> => isWholeFolder(placeOf(wanted, cacheDirectory).folder, listing)

/** One that is made while it is found out what it is made of. */
export interface UnknownFolder extends Pick<CachedFolder, 'kind' | 'label'> {
  /** Asked once nobody else is making folders: false where it may be there already, so that one should know first. */
  isNew(parent: string): Promise<boolean>
  /** Makes a file at this path. What it returns is known then: its `make` moves the file into the folder that it is given. */
  write(partial: string): Promise<CachedFolder>
}

/**
 * Makes a folder whose identity is known only once it is made.
 *
 * @returns undefined where `isNew` says no
 * @throws as cachedModelFolder
 */
export async function newCachedFolder(wanted: UnknownFolder, options: ModelCacheOptions): Promise<string | undefined> {
  const parent = join(options.cacheDirectory, wanted.kind)
  return await locked(parent, options, async () => {
    if (!(await wanted.isNew(parent))) return undefined
    await removeLeftovers(parent, 'all')
    try {
      return await withPartial(join(parent, wanted.label), async (partial) => {
        const found = await wanted.write(partial)
        const { folder } = placeOf(found, options.cacheDirectory)
        return (await useFolder(folder)) ? folder : await makeFolder(found, options)
      })
    } catch (error) {
      throw diskError(error, join(parent, wanted.label), cacheAdvice)
    }
  })
}

const locked = <T>(parent: string, { signal, onWait }: ModelCacheOptions, work: () => Promise<T>): Promise<T> =>
  withFileLock(join(parent, '.lock'), { signal, onWait, advice: cacheAdvice }, work)

function placeOf({ kind, label, source, origin, identity, state }: Omit<CachedFolder, 'make'>, cacheDirectory: string) {
  const parent = join(cacheDirectory, kind)
  const family = `${label}-${digest(identity)}-`
  const name = family + digest(state)
  const own: Claim | undefined = origin?.content ? { what: `${kind}/${label}`, path: source, content: origin.content } : undefined
  return { parent, family, name, folder: join(parent, name), own }
}

/** Makes a folder, by who has the lock. */
async function makeFolder(wanted: CachedFolder, { cacheDirectory, onProgress, signal }: ModelCacheOptions): Promise<string> {
  const { parent, family, name, folder, own } = placeOf(wanted, cacheDirectory)
  try {
    await removeFolder(folder)
    const { source, origin } = wanted
    await wanted.make(folder, { listing, source, origin, onProgress, signal, advice: cacheAdvice })
    await markInUse(folder)
    await removeOthers(parent, async (other) => other.startsWith(family) && other !== name)
    if (own) {
      await removeReplaced(parent, own, cacheDirectory)
      await claim(own, cacheDirectory)
    }
    await forgetGoneFiles(cacheDirectory)
  } catch (error) {
    throw diskError(error, folder, cacheAdvice)
  }
  return folder
}

/** Takes a folder for this process where it is whole. Marked first, so that nobody removes it between the two. */
async function useFolder(folder: string): Promise<boolean> {
  if (!(await isWholeFolder(folder, listing))) return false
  await markInUse(folder)
  if (!(await isWholeFolder(folder, listing))) return false
  await noteUse(folder)
  return true
}

/** What was made of the content that stood at the same path before, unless it stands at another one as well. */
async function removeReplaced(parent: string, { what, path, content }: Claim, cacheDirectory: string): Promise<void> {
  const before = await claimOf(what, path, cacheDirectory)
  if (before === undefined || before === content || (await isClaimed(before, path, cacheDirectory))) return
  const label = what.slice(what.indexOf('/') + 1)
  await removeOthers(
    parent,
    async (other) => other.startsWith(`${label}-`) && (await readHashes(join(parent, other)))?.content === before,
  )
}

/** What another process uses stays. */
async function removeOthers(parent: string, isMeant: (name: string) => Promise<boolean>): Promise<void> {
  for (const other of await readdir(parent)) {
    const path = join(parent, other)
    if ((await isMeant(other)) && !(await isInUse(path))) await removeFolder(path, isInUse)
  }
}

const digest = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
