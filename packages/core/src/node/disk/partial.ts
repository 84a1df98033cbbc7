/**
 * Partial files and folders: what is being written lies beside its target as `.NAME.partial-PID-START-PLACE-RANDOM` until it is
 * complete. The name says which process writes it (START and PLACE are hashes), so that whoever writes in the same folder
 * later can remove what a killed process left, and nothing that a running one is writing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { discard } from './discard.ts'
import { makeFolder } from './make-folder.ts'
import { isGone, isUntouched, keepTouched, type Owner, thisProcess } from './owner.ts'

const partialPart = '.partial-'
const pattern = /\.partial-(\d+)-([0-9a-f]{8})?-([0-9a-f]{8})-[0-9a-f]{8}$/
/** Of the 255 bytes that a name may have, those that remain for the target's. */
const mostNameBytes = 190
const abandonedAfterMs = 24 * 3600 * 1000

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)

/** Whether this is the name of a partial file or folder. */
export const isPartial = (name: string): boolean => pattern.test(name)

/** How the names of a target's partial files begin. */
export function partialPrefix(target: string): string {
  let name = basename(target)
  while (Buffer.byteLength(name) > mostNameBytes) name = [...name].slice(0, -1).join('')
  return `.${name}${partialPart}`
}

/** A new path beside `target` for what this process is writing. */
export function partialPath(target: string): string {
  const { pid, host, place = host, started } = thisProcess()
  const tag = [pid, started ? digest(started) : '', digest(place), randomBytes(4).toString('hex')].join('-')
  return join(dirname(resolve(target)), partialPrefix(target) + tag)
}

/**
 * Runs `work` with a path beside `target`, in a folder that is made if need be and cleared of leftovers. What `work`
 * does not move from there is removed.
 *
 * @throws what `work` throws; the file system's errors when the folder cannot be made
 */
export async function withPartial<T>(target: string, work: (partial: string) => Promise<T>): Promise<T> {
  const partial = await temporaryFolder(target)
  try {
    return await work(partial.path)
  } finally {
    await partial.remove() // nothing is there any more when `work` has moved it
  }
}

export interface TemporaryFolder {
  /** Not there until somebody makes it. */
  readonly path: string
  remove(): Promise<void>
}

/** A folder beside `target` for what is needed only while this process runs. The next process removes it if this one is killed. */
export async function temporaryFolder(target: string): Promise<TemporaryFolder> {
  const parent = dirname(resolve(target))
  await makeFolder(parent)
  await removeLeftovers(parent)
  const path = partialPath(target)
  const stopTouching = keepTouched(path)
  const remove = async () => {
    stopTouching()
    await discard(path)
  }
  return { path, remove }
}

/**
 * Removes the partial files and folders of processes that run no more.
 *
 * @param unnamed what becomes of partial files that do not say whose they are, as earlier versions made them: they stay
 *   (default), go once nobody has written to them for a day, or go at once. The last is for who holds a lock of the folder
 */
export async function removeLeftovers(folder: string, unnamed: 'keep' | 'old' | 'all' = 'keep'): Promise<void> {
  const names = await readdir(folder).catch((): string[] => [])
  const removeIfLeft = async (name: string) => {
    const path = join(folder, name)
    const owner = ownerOf(name)
    const gone = owner
      ? await isGone(owner, path, undefined, digest)
      : unnamed === 'all' || (unnamed === 'old' && (await isAbandoned(path)))
    if (gone) await discard(path) // somebody else's perhaps stays
  }
  await Promise.all(names.filter((name) => name.includes(partialPart)).map(removeIfLeft))
}

/** Whether the process that a partial file names still runs. */
export async function ownerRuns(path: string): Promise<boolean> {
  const owner = ownerOf(basename(path))
  return owner !== undefined && !(await isGone(owner, path, undefined, digest))
}

function ownerOf(name: string): Owner | undefined {
  const [, pid, started, place] = pattern.exec(name) ?? []
  return place === undefined ? undefined : { pid: Number(pid), started, host: '', place }
}

async function isAbandoned(path: string): Promise<boolean> {
  const inside = (await readdir(path).catch((): string[] => [])).map((name) => join(path, name))
  for (const file of inside.length > 0 ? inside : [path]) {
    if (
      (await stat(file).then(
        () => true,
        () => false,
      )) &&
      !(await isUntouched(file, abandonedAfterMs))
    )
      return false
  }
  return true
}
