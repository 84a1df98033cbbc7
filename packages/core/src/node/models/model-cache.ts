/**
 * Folders that are made of a model once and kept: GGUF files unpacked, weights quantised. One is found again by what it was
 * made of and how; where that changed, or the folder is not whole, it is made anew. One process at a time makes folders, the
 * others wait for it: so what killed ones left can be told from what is being written.
 */
import { createHash } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { usageError } from '../../errors.ts'
import { namedDiskError } from '../disk/disk-full.ts'
import { type FileLock, type LockOwner, tryFileLock } from '../disk/file-lock.ts'
import { makeFolder } from '../disk/make-folder.ts'
import { isWholeFolder, removePartialFolders, type WriteFolderOptions } from '../disk/write-folder.ts'

export interface ModelCacheOptions extends Pick<WriteFolderOptions, 'onProgress' | 'signal'> {
  readonly cacheDirectory: string
  /** Called once where another process is making folders; this one waits for it. */
  readonly onWait?: ((owner: LockOwner | undefined) => void) | undefined
}

export interface CachedFolder {
  /** Of things that lie together, such as 'gguf'. */
  readonly kind: string
  /** A readable beginning of the folder's name. */
  readonly label: string
  /** What it is made of, and how: one folder is kept of each. */
  readonly identity: readonly unknown[]
  /** What changes with time: sizes, dates, versions. */
  readonly state: readonly unknown[]
  /** Writes the folder, all or nothing. */
  make(folder: string, options: Pick<WriteFolderOptions, 'listing' | 'onProgress' | 'signal'>): Promise<unknown>
}

const listing = 'files.json'
const waitMs = 100

/**
 * The folder, made now if it is not there or not whole. Older ones of the same identity are removed.
 *
 * @throws what `make` throws; resource error when the disk is full; the signal's reason when aborted
 */
export async function cachedModelFolder(wanted: CachedFolder, options: ModelCacheOptions): Promise<string> {
  const { cacheDirectory, onProgress, signal } = options
  const parent = join(cacheDirectory, wanted.kind)
  const family = `${wanted.label}-${digest(wanted.identity)}-`
  const name = family + digest(wanted.state)
  const folder = join(parent, name)
  if (await isWholeFolder(folder, listing)) return folder
  try {
    await makeFolder(parent)
    const lock = await waitForLock(join(parent, '.lock'), options)
    try {
      if (await isWholeFolder(folder, listing)) return folder // made while this process waited
      await removePartialFolders(parent)
      await rm(folder, { recursive: true, force: true })
      await wanted.make(folder, { listing, onProgress, signal })
      const older = (await readdir(parent)).filter((other) => other.startsWith(family) && other !== name)
      for (const other of older) await rm(join(parent, other), { recursive: true, force: true })
    } finally {
      await lock.release()
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (['EACCES', 'EROFS', 'EPERM', 'ENOENT', 'ENOTDIR'].includes(code ?? '')) {
      throw usageError(`${parent}: cannot be written (${code}); set PARSCALE_CACHE to a folder that can`, {
        file: parent,
        cause: error,
      })
    }
    throw namedDiskError(error, folder, 'or set PARSCALE_CACHE to a folder on another disk')
  }
  return folder
}

async function waitForLock(path: string, { onWait, signal }: ModelCacheOptions): Promise<FileLock> {
  for (let told = false; ; ) {
    signal?.throwIfAborted()
    const lock = await tryFileLock(path)
    if ('release' in lock) return lock
    if (!told) onWait?.(lock.owner)
    told = true
    await sleep(waitMs, undefined, { signal })
  }
}

/** Name, size and time of change, for a folder's `state`. Empty for what is no file. Links are followed: the hub's cache is made of them. */
export async function fileState(file: string): Promise<string[]> {
  const found = await stat(file, { bigint: true }).catch(() => undefined)
  return found?.isFile() ? [file, String(found.size), String(found.mtimeNs)] : []
}

const digest = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
