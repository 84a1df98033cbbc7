/**
 * Folders that are made once from a model and kept: GGUF files unpacked, weights quantised. One is found again by what it was
 * made of and how; where that changed, or the folder is not whole, it is made anew. One process at a time writes, the others
 * wait. So a partial folder that is found while the lock is held was left by a killed process, and is deleted.
 */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheAdvice, diskError } from '../disk/disk-error.ts'
import { type LockOptions, withFileLock } from '../disk/file-lock.ts'
import { removeLeftovers } from '../disk/partial.ts'
import { isWholeFolder, noteUse, removeFolder } from '../disk/whole-folder.ts'
import type { WriteFolderOptions } from '../disk/write-folder.ts'

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
  /** A readable beginning of the folder's name. */
  readonly label: string
  /** The file or folder that it is made of. */
  readonly source: string
  /** What it is made of, and how: one folder is kept of each. */
  readonly identity: readonly unknown[]
  /** What changes with time: sizes, dates, versions. */
  readonly state: readonly unknown[]
  /** Writes the folder, all or nothing. */
  make(
    folder: string,
    options: Pick<WriteFolderOptions, 'advice' | 'listing' | 'source' | 'onProgress' | 'signal'>,
  ): Promise<unknown>
}

/** Name of the file that lists the others of a cached folder. */
export const listing = 'files.json'

/**
 * The folder, made now if it is not there or not whole. Older ones of the same identity are removed.
 *
 * @throws what `make` throws; resource error when the disk is full; the signal's reason when aborted
 */
export async function cachedModelFolder(wanted: CachedFolder, options: ModelCacheOptions): Promise<string> {
  const { cacheDirectory, onProgress, onWait, onFound, signal } = options
  const parent = join(cacheDirectory, wanted.kind)
  const family = `${wanted.label}-${digest(wanted.identity)}-`
  const name = family + digest(wanted.state)
  const folder = join(parent, name)
  if (await isWholeFolder(folder, listing)) {
    await noteUse(folder)
    onFound?.(folder)
    return folder
  }
  return await withFileLock(join(parent, '.lock'), { signal, onWait, advice: cacheAdvice }, async () => {
    if (await isWholeFolder(folder, listing)) return folder // made while this process waited
    await removeLeftovers(parent, 'all')
    try {
      await removeFolder(folder)
      await wanted.make(folder, { listing, source: wanted.source, onProgress, signal, advice: cacheAdvice })
      const older = (await readdir(parent)).filter((other) => other.startsWith(family) && other !== name)
      for (const other of older) await removeFolder(join(parent, other))
    } catch (error) {
      throw diskError(error, folder, cacheAdvice)
    }
    return folder
  })
}

/** Name, size and time of change, for a folder's `state`. Empty for what is no file. Links are followed: the hub's cache is made of them. */
export async function fileState(file: string): Promise<string[]> {
  const found = await stat(file, { bigint: true }).catch(() => undefined)
  return found?.isFile() ? [file, String(found.size), String(found.mtimeNs)] : []
}

const digest = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
