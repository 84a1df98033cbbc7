/**
 * One process at a time, by a file that only one can create. Its owner touches it while it holds it. The lock of a process
 * that is gone is taken over at once; one whose owner cannot be looked at (another machine's), after a minute untouched.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { readFile, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const touchIntervalMs = 5_000
const staleAfterMs = 60_000
/** A lock is empty between its creation and the next line of code; one that stays so was left by a killed process. */
const emptyForMs = 1_000
/** Of several who find a stale lock one takes it over, in less time than this; should it die there, another does. */
const takeoverMs = 20
const mostTries = 100

export interface LockOwner {
  readonly id: string
  readonly pid: number
  readonly host: string
  /** When the process was started, where the system says: process ids come again. */
  readonly started?: string
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

/**
 * Takes the lock at `path` if nobody holds it, without waiting for one who does. Locks of one process exclude each other too.
 *
 * @throws the file system's error when the file cannot be written
 */
export async function tryFileLock(path: string): Promise<FileLock | LockRefused> {
  const me: LockOwner = { id: randomUUID(), pid: process.pid, host: hostname(), started: startOf(process.pid) }
  for (let tries = 1; !(await tryCreate(path, me)); tries++) {
    const owner = await readOwner(path)
    const state = await lockState(path, owner)
    if (state === 'held' || tries === mostTries) return { owner }
    if (state === 'stale' && !(await removeStale(path, me))) await sleep(takeoverMs)
  }
  const touch = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => {}) // taken away: isHeld() says so to those who ask
  }, touchIntervalMs)
  touch.unref()
  const isHeld = async () => (await readOwner(path))?.id === me.id
  return {
    isHeld,
    async release() {
      clearInterval(touch)
      if (await isHeld()) await rm(path, { force: true })
    },
  }
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
    writeSync(file, JSON.stringify(me))
    return true
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'))
    return typeof owner === 'object' && owner !== null && 'id' in owner && 'pid' in owner && 'host' in owner
      ? (owner as LockOwner)
      : undefined
  } catch {
    return undefined // just created and not yet written, or just removed
  }
}

/** @param owner what the file said just now */
async function lockState(path: string, owner: LockOwner | undefined): Promise<'free' | 'held' | 'stale'> {
  const touched = await stat(path).catch(() => undefined)
  if (touched === undefined) return 'free' // removed meanwhile
  const staleAfter = (ms: number) => (Date.now() - touched.mtimeMs > ms ? 'stale' : 'held')
  if (owner === undefined) return staleAfter(emptyForMs)
  if (owner.host === hostname()) {
    if (!isAlive(owner.pid)) return 'stale'
    // Of a process that is surely the owner, nothing more need be known: it may have been suspended.
    if (owner.started !== undefined) return owner.started === startOf(owner.pid) ? 'held' : 'stale'
  }
  return staleAfter(staleAfterMs)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // somebody else's process
  }
}

/** On Linux: which boot, and clock ticks since then (field 22 of /proc/PID/stat, counted behind the name's parenthesis). */
function startOf(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const ticks = fields.slice(fields.lastIndexOf(')') + 2).split(' ')[22 - 3]
    return `${boot} ${ticks}`
  } catch {
    return undefined
  }
}

/**
 * Removes the lock at `path` if it is still stale; false where another process is about to. Looking and removing must not
 * be torn apart, or the fresh lock of a faster process would be removed: a second file, held for a moment only, lets one
 * process at a time do it.
 */
async function removeStale(path: string, me: LockOwner): Promise<boolean> {
  const removeIfStale = async (file: string) => {
    if ((await lockState(file, await readOwner(file))) === 'stale') await rm(file, { force: true })
  }
  const guard = `${path}.takeover`
  if (!(await tryCreate(guard, me))) {
    await removeIfStale(guard)
    return false
  }
  try {
    await removeIfStale(path)
    return true
  } finally {
    await rm(guard, { force: true })
  }
}
