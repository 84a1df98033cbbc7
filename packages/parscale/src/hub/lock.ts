/** Waits for a lock file (one process at a time) and holds it while work is done. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryFileLock } from '@parscale/core/node'
import { writeFailure } from './disk-space.ts'

const pollIntervalMs = 50

export interface LockOptions {
  readonly signal?: AbortSignal
  /** Called once when another process has to be waited for. */
  readonly onWait?: (ownerPid: number) => void
}

/** Runs `work` while holding the lock at `path`. Locks of this process exclude each other too. */
export async function withLock<T>(path: string, { signal, onWait }: LockOptions, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(path, { signal, onWait }).catch((cause) => {
    signal?.throwIfAborted()
    throw writeFailure(path, cause)
  })
  try {
    return await work()
  } finally {
    await lock.release()
  }
}

async function waitForLock(path: string, { signal, onWait }: LockOptions) {
  await mkdir(dirname(path), { recursive: true })
  let waited = false
  for (;;) {
    const tried = await tryFileLock(path)
    if ('release' in tried) return tried
    signal?.throwIfAborted()
    if (!waited && tried.owner !== undefined) onWait?.(tried.owner.pid)
    waited ||= tried.owner !== undefined
    await sleep(pollIntervalMs, undefined, { signal })
  }
}
