/**
 * One process at a time, by a file that only one can create. The lock of a process that is gone is taken over at once; one
 * whose owner cannot be looked at (another machine's), after a minute in which its owner did not touch it.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { lstat, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { discard } from './discard.ts'
import { type DiskAdvice, diskError } from './disk-error.ts'
import { makeFolder } from './make-folder.ts'
import { isGone, isUntouched, keepTouched, type Owner, thisProcess } from './owner.ts'

/** A lock is empty between its creation and the next line of code; one that stays so was left by a killed process. */
const emptyForMs = 1_000
/** Of several who find a stale lock one takes it over, in less time than this; should it die there, another does. */
const takeoverMs = 20
const mostTries = 100
const pollIntervalMs = 50
/** Locks of this process that it gave up and could not remove: it must not wait for itself. */
const unremoved = new Set<string>()

export interface LockOwner extends Owner {
  readonly id: string
  /** When the lock was taken, as an ISO time. */
  readonly since?: string
}

export interface FileLock {
  /** False once somebody else took the lock over, thinking that its owner was gone. */
  isHeld(): Promise<boolean>
  release(): Promise<void>
}

/** Who has the lock; `owner` is undefined while that process has not yet written its name. */
export interface LockRefused {
  readonly owner: LockOwner | undefined
}

export interface LockOptions {
  readonly signal?: AbortSignal | undefined
  /** Called when another process has to be waited for, once for each. `who`: "process 12 on HOST (since TIME)". */
  readonly onWait?: ((owner: LockOwner, who: string) => void) | undefined
  readonly advice: DiskAdvice
}

/**
 * Does `work` while holding the lock at `path`, and waits for whoever has it. The folder of the lock is made if need be.
 *
 * @throws what `work` throws; the signal's reason when aborted; as diskError when the lock cannot be written
 */
export async function withFileLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(path, options).catch((error) => {
    options.signal?.throwIfAborted()
    throw diskError(error, path, options.advice)
  })
  try {
    return await work()
  } finally {
    await lock.release()
  }
}

async function waitForLock(path: string, { signal, onWait }: LockOptions): Promise<FileLock> {
  await makeFolder(dirname(path))
  for (let told: string | undefined; ; await sleep(pollIntervalMs, undefined, { signal })) {
    signal?.throwIfAborted()
    const lock = await tryFileLock(path, signal)
    if ('release' in lock) return lock
    if (lock.owner && lock.owner.id !== told) onWait?.(lock.owner, ownerText(lock.owner))
    told = lock.owner?.id ?? told
  }
}

const ownerText = ({ pid, host, since }: LockOwner): string =>
  pid === 0 ? "another user's or machine's process" : `process ${pid} on ${host}${since === undefined ? '' : ` (since ${since})`}`

/**
 * Takes the lock at `path` if nobody holds it, without waiting for one who does. Locks of one process exclude each other too.
 *
 * @throws the file system's error when the file cannot be written
 */
export async function tryFileLock(path: string, signal?: AbortSignal): Promise<FileLock | LockRefused> {
  const me: LockOwner = { id: randomUUID(), ...thisProcess(), since: new Date().toISOString() }
  for (let tries = 1; !(await tryCreate(path, me)); tries++) {
    // Seen before it is read: whatever replaces the file in between is not what was seen, and stays.
    const seen = await touchOf(path)
    const owner = await readOwner(path)
    const state = await lockState(path, owner, signal)
    if (state === 'held' || tries === mostTries) return { owner }
    if (state === 'stale' && !(await removeStale(path, seen, me))) await sleep(takeoverMs)
  }
  const stopTouching = keepTouched(path)
  const isHeld = async () => (await readOwner(path))?.id === me.id
  return {
    isHeld,
    async release() {
      stopTouching()
      if (await isHeld()) await giveUp(path, me)
    },
  }
}

/** One that cannot be removed, on a disk that fails, is taken over by this process, and by others once it is gone. */
async function giveUp(path: string, { id }: LockOwner): Promise<void> {
  await discard(path)
  if ((await readOwner(path))?.id === id) unremoved.add(`${id} ${path}`)
}

/** Who holds the lock at `path`, without touching it; undefined where nobody does, or nobody that runs. */
export async function lockHolder(path: string): Promise<LockOwner | undefined> {
  const owner = await readOwner(path)
  return owner && (await lockState(path, owner)) === 'held' ? owner : undefined
}

/** Removes a lock that a process left which runs no more: for those who find what they want without taking the lock. */
export async function removeStaleLock(path: string): Promise<void> {
  const seen = await touchOf(path)
  const owner = await readOwner(path)
  const me: LockOwner = { id: randomUUID(), ...thisProcess() }
  if (owner?.place === undefined || owner.place !== me.place) return // whose process cannot be looked at
  // Nothing depends on it: where it cannot be removed, whoever takes the lock next does.
  if (await isGone(owner, path)) await removeStale(path, seen, me).catch(() => {})
}

/** True when the lock is ours now, false when somebody else has it. */
async function tryCreate(path: string, me: LockOwner): Promise<boolean> {
  let file: number
  try {
    file = openSync(path, 'wx')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  try {
    // Not awaited, so that the file is empty for as short as can be.
    writeFileSync(file, JSON.stringify(me)) // all of it: a full disk takes a part without an error
    return true
  } catch (error) {
    await discard(path)
    throw error
  } finally {
    closeSync(file)
  }
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  try {
    const { id, pid, host, place, started, since } = JSON.parse(await readFile(path, 'utf8'))
    const isOwner = typeof id === 'string' && typeof host === 'string' && Number.isSafeInteger(pid) && pid > 0
    return isOwner ? { id, pid, host, place, started, since } : undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Another user's, or a server that is away (ESTALE, EIO): that it cannot be read does not make it nobody's.
    if (code !== undefined && code !== 'ENOENT') return { id: path, pid: 0, host: 'unknown' }
    return undefined // just created and not yet written, or just removed
  }
}

/** Which file is there, and when it was last touched. */
const touchOf = (path: string): Promise<string | undefined> =>
  lstat(path).then(
    ({ ino, mtimeMs, ctimeMs }) => `${ino} ${mtimeMs} ${ctimeMs}`,
    () => undefined,
  )

/** @param owner what the file said just now */
async function lockState(path: string, owner: LockOwner | undefined, signal?: AbortSignal): Promise<'free' | 'held' | 'stale'> {
  const isThere = await lstat(path).then(
    () => true,
    () => false,
  )
  if (!isThere) return 'free' // removed meanwhile
  if (owner && unremoved.has(`${owner.id} ${path}`)) return 'stale'
  const gone = owner ? await isGone(owner, path, signal) : await isUntouched(path, emptyForMs, signal)
  return gone ? 'stale' : 'held'
}

/**
 * Removes the lock at `path` if it is still the one that was found stale (`seen`); false where another process is about to.
 * Looking and removing must not be torn apart, or the fresh lock of a faster process would be removed: a second file, held for a
 * moment only, lets one process at a time do it.
 */
async function removeStale(path: string, seen: string | undefined, me: LockOwner): Promise<boolean> {
  const guard = `${path}.takeover`
  if (!(await tryCreate(guard, me))) {
    if ((await lockState(guard, await readOwner(guard))) === 'stale') await rm(guard, { force: true })
    return false
  }
  try {
    if (seen !== undefined && (await touchOf(path)) === seen) await rm(path, { force: true })
    return true
  } finally {
    await giveUp(guard, me)
  }
}
