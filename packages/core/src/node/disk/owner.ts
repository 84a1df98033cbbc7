/**
 * Which process a lock or a partial file belongs to, and whether that process still runs. A process id alone does not say:
 * ids are used again, a dead process that its parent has not reaped (a zombie) still has one, and another machine's processes
 * cannot be looked at. Owners therefore also record their start time, and touch their file while they use it.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const touchIntervalMs = 5_000
/** An owner that cannot be looked at is gone after so long without a touch. */
const staleAfterMs = 60_000

export interface Owner {
  readonly pid: number
  readonly host: string
  /** Where its number means this process: `here()`. */
  readonly place?: string | undefined
  /** When the process was started, where the system says. */
  readonly started?: string | undefined
}

export const thisProcess = (): Owner => ({ pid: process.pid, host: hostname(), place: here(), started: startOf(process.pid) })

/**
 * True when the owner of the file at `path` runs no more.
 *
 * @param digest how `place` and `started` were shortened, if they were
 */
export async function isGone(
  owner: Owner,
  path: string,
  signal?: AbortSignal,
  digest = (text: string) => text,
): Promise<boolean> {
  if (owner.place === undefined ? owner.host === hostname() : owner.place === digest(here())) {
    if (!isRunning(owner.pid)) return true
    const started = startOf(owner.pid)
    // A process that is surely the owner may have been suspended: how long ago it touched the file does not matter.
    if (owner.started && started) return owner.started !== digest(started)
  }
  return await isUntouched(path, staleAfterMs, signal)
}

/**
 * True when nobody has touched a file for so many milliseconds, nor touches it now; false where there is none.
 *
 * @param ms less than a touch is apart where the owner does not touch the file
 */
export async function isUntouched(path: string, ms: number, signal?: AbortSignal): Promise<boolean> {
  const touched = await touchedAt(path)
  if (touched === undefined) return false
  const age = Date.now() - touched
  if (age > -1000 && age <= ms) return false
  // Our clock may be ahead of the owner's, or have been set back: time alone says nothing, so wait for longer than the owner would.
  await sleep(Math.min(ms, 1.2 * touchIntervalMs), undefined, { signal })
  return (await touchedAt(path)) === touched
}

const touchedAt = (path: string): Promise<number | undefined> =>
  lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  )

/** Touches a file or folder every few seconds until the returned function is called. */
export function keepTouched(path: string): () => void {
  const timer = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => {}) // removed or taken over: the lock's isHeld() tells those who ask
  }, touchIntervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Among which processes numbers are ours. Names of hosts do not say: they change, and containers and cloned machines share them. On
 * Linux: which boot, and which namespace of process ids.
 */
function here(): string {
  try {
    return `${bootId()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

function isRunning(pid: number): boolean {
  const state = statOf(pid)?.[0]
  if (state !== undefined) return !/[ZX]/i.test(state)
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // somebody else's process
  }
}

/** On Linux: which boot, and clock ticks from then to the start of the process. */
function startOf(pid: number): string | undefined {
  const ticks = statOf(pid)?.[22 - 3]
  try {
    return ticks && `${bootId()} ${ticks}`
  } catch {
    return undefined
  }
}

/** Fields of /proc/PID/stat from the third on (proc(5)): the state, ... The second is a name in parentheses. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
