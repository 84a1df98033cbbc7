/**
 * Folders that are there whole or not at all: written beside their place, flushed, renamed. Whatever goes wrong before the
 * rename leaves no trace; after it, the folder is complete.
 */
import { mkdir, readdir, readFile, rename, rmdir, stat, utimes } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import { usageError } from '../../errors.ts'
import { discard } from './discard.ts'
import { type DiskAdvice, diskError } from './disk-error.ts'
import { isDamaged, type Origin, writeHashes } from './hashes.ts'
import { partialPath, withPartial } from './partial.ts'
import { syncFolder, writeNewFile } from './whole-file.ts'

export interface WholeFolderOptions {
  /** Name of a file that lists all others with their lengths, by which `isWholeFolder` knows them again. Default: none. */
  readonly listing?: string
  /** What the folder is made of: it then gets hashes of its files, by which damage is found (hashes.ts). Default: none. */
  readonly source?: string | undefined
  /** What else its hashes are to say of where it comes from. */
  readonly origin?: Omit<Origin, 'source'> | undefined
  readonly signal?: AbortSignal
  /** Asked when there is a folder at the target: true to replace it, false to keep it instead. Default: it is an error. */
  readonly replace?: () => Promise<boolean>
  readonly advice?: DiskAdvice
}

const usualAdvice: DiskAdvice = {
  full: 'nothing was left behind. Free some space or choose another folder',
  denied: 'choose another folder',
}

/**
 * A folder of whatever `write` puts into it, all or nothing.
 *
 * @param directory must not exist, or be an empty folder, unless `replace` is given
 * @param write given a folder that is not yet in its place; it flushes what it writes
 * @throws usage error when the target is taken or cannot be written; resource error when the disk is full; the signal's
 *   reason when aborted
 */
export async function writeWholeFolder(
  directory: string,
  write: (partial: string) => Promise<void>,
  { listing, source, origin, signal, replace, advice = usualAdvice }: WholeFolderOptions = {},
): Promise<void> {
  const target = resolve(directory)
  if (!replace) await refuseTaken(target)
  try {
    await withPartial(target, async (partial) => {
      await mkdir(partial)
      await write(partial)
      if (source !== undefined) await writeHashes(partial, { source, ...origin }, signal)
      if (listing !== undefined) await writeNewFile(join(partial, listing), jsonBytes(await fileLengths(partial)))
      await syncFolder(partial)
      signal?.throwIfAborted()
      await moveInto(partial, target, replace)
      await syncFolder(dirname(target))
    })
  } catch (error) {
    throw diskError(error, target, advice)
  }
}

async function moveInto(partial: string, target: string, replace: WholeFolderOptions['replace']): Promise<void> {
  // An empty folder may stand there. Not every system renames over one; a full one is left alone by both calls.
  await rmdir(target).catch(() => undefined)
  for (;;) {
    try {
      return await rename(partial, target)
    } catch (cause) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause
      if (!replace) throw taken(target, 'was made by somebody else meanwhile')
      if (!(await replace())) return
      await removeFolder(target)
    }
  }
}

/**
 * Removes a folder in one step, so that a process that is killed meanwhile leaves no half of it under its name.
 *
 * @param isWanted asked of the folder once nobody finds it any more: true to put it back
 * @returns whether it is gone
 */
export async function removeFolder(path: string, isWanted?: (moved: string) => Promise<boolean>): Promise<boolean> {
  const partial = partialPath(path)
  try {
    await rename(path, partial)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
  if (await isWanted?.(partial)) {
    await rename(partial, path)
    return false
  }
  await discard(partial)
  return true
}

/** For who has long work to do before. @throws usage error when the target of writeWholeFolder is taken */
export async function refuseTaken(directory: string): Promise<void> {
  const target = resolve(directory)
  const entries = await readdir(target).catch(async (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    const isFile = await stat(target).then(
      (found) => !found.isDirectory(),
      () => false,
    )
    throw isFile ? taken(target, 'is a file') : diskError(cause, target, usualAdvice)
  })
  if (entries.length > 0) throw taken(target, 'is not empty')
}

const taken = (target: string, what: string) =>
  usageError(`${target} ${what}; nothing is overwritten: choose another folder or remove it first`, { file: target })

/** Whether a folder has everything that its listing names, each file of its length, and was not found damaged. */
export async function isWholeFolder(folder: string, listing: string): Promise<boolean> {
  try {
    if (await isDamaged(folder)) return false
    const lengths: Record<string, number> = JSON.parse(await readFile(join(folder, listing), 'utf8'))
    const checks = Object.entries(lengths).map(async ([name, length]) => (await stat(join(folder, name))).size === length)
    return checks.length > 0 && (await Promise.all(checks)).every(Boolean)
  } catch {
    return false // the folder, the listing or a file is not there, or the listing is cut short
  }
}

/** A folder's time of change says when it was last used. A cache that is read-only keeps no times. */
export const noteUse = (folder: string): Promise<void> => utimes(folder, new Date(), new Date()).catch(() => {})

/** Length in bytes of every file, by its path within the folder. */
async function fileLengths(folder: string): Promise<Record<string, number>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const lengths: Record<string, number> = {}
  for (const entry of entries.filter((entry) => entry.isFile())) {
    const path = join(entry.parentPath, entry.name)
    lengths[relative(folder, path)] = (await stat(path)).size
  }
  return lengths
}
