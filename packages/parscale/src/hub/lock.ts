/**
 * One process at a time, by a file that only one can create. The owner touches it while it works; a lock whose process
 * is gone, or that nobody has touched for a minute, is taken over.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFailure } from './disk-space.ts'

const touchIntervalMs = 5_000
const staleAfterMs = 60_000
const pollIntervalMs = 50

export interface LockOptions {
  readonly signal?: AbortSignal
  /** Called once when another process has to be waited for. */
  readonly onWait?: (ownerPid: number) => void
}

interface Owner {
  readonly id: string
  readonly pid: number
  readonly host: string
}

/** Runs `work` while holding the lock at `path`. Locks of this process exclude each other too. */
export async function withLock<T>(path: string, { signal, onWait }: LockOptions, work: () => Promise<T>): Promise<T> {
  const me: Owner = { id: randomUUID(), pid: process.pid, host: hostname() }
  await mkdir(dirname(path), { recursive: true }).catch((cause) => Promise.reject(writeFailure(path, cause)))
  let waited = false
  while (!(await tryCreate(path, me))) {
    signal?.throwIfAborted()
    const owner = await readOwner(path)
    if (await isStale(path, owner)) {
      await removeStale(path, me)
      continue
    }
    if (!waited && owner !== undefined) onWait?.(owner.pid)
    waited ||= owner !== undefined
    await sleep(pollIntervalMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
  }
  const touch = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => {}) // taken away: the work goes on, its hash check decides
  }, touchIntervalMs)
  touch.unref()
  try {
    return await work()
  } finally {
    clearInterval(touch)
    if ((await readOwner(path))?.id === me.id) await rm(path, { force: true })
  }
}

/** True when the lock is ours now, false when somebody else has it. */
async function tryCreate(path: string, me: Owner): Promise<boolean> {
  try {
    const file = await open(path, 'wx')
    await file.close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw writeFailure(path, error)
  }
  try {
    await writeFile(path, JSON.stringify(me))
    return true
  } catch (error) {
    await rm(path, { force: true }) // a full disk: an empty lock would hold for a minute
    throw writeFailure(path, error)
  }
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'))
    return typeof owner === 'object' && owner !== null && 'id' in owner && 'pid' in owner && 'host' in owner
      ? (owner as Owner)
      : undefined
  } catch {
    return undefined // just created and not yet written, or just removed
  }
}

async function isStale(path: string, owner: Owner | undefined): Promise<boolean> {
  if (owner?.host === hostname() && !isAlive(owner.pid)) return true
  const touched = await stat(path).catch(() => undefined)
  return touched !== undefined && Date.now() - touched.mtimeMs > staleAfterMs
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // somebody else's process
  }
}

/**
 * Removes the lock at `path` if it is still stale. Looking and removing must not be torn apart, or the fresh lock of a
 * faster process would be removed: a second file, held for a moment only, lets one process at a time do it.
 */
async function removeStale(path: string, me: Owner): Promise<void> {
  const guard = `${path}.takeover`
  if (!(await tryCreate(guard, me))) {
    if (await isStale(guard, await readOwner(guard))) await rm(guard, { force: true })
    return
  }
  try {
    if (await isStale(path, await readOwner(path))) await rm(path, { force: true })
  } finally {
    await rm(guard, { force: true })
  }
}
