/** Keys and certificates change under a server that runs: orchestrators rotate them. They are read again when a file changes, and on SIGHUP. */
import { unwatchFile, watchFile } from 'node:fs'

export interface RenewOptions {
  /** What the files hold, for messages. */
  readonly what: string
  readonly files: readonly string[]
  /** Reads all of them again. What it throws is said, and what was read before stays. */
  readonly read: () => Promise<void>
  readonly say: (line: string) => void
  /** Calls the listener on each SIGHUP; returns what stops that. */
  readonly onHangup?: (listener: () => void) => () => void
  /** Default: 5 s. */
  readonly everyMs?: number
}

/** What can be renewed although something else cannot has a call of its own. @returns what ends it */
export function renewing({ what, files, read, say, onHangup, everyMs = 5000 }: RenewOptions): () => void {
  // One after the other: a certificate and its key come as two changes.
  let last = Promise.resolve()
  const renew = () => {
    if (files.length === 0) return
    last = last.then(read).then(
      () => say(`read again: ${what}`),
      (error: Error) => say(`not read again, and as before: ${what}: ${error.message}`),
    )
  }
  // By looking: a mounted secret is changed by moving a link above it, which watchers do not see.
  for (const file of files) watchFile(file, { interval: everyMs, persistent: false }, renew)
  const forget = onHangup?.(renew)
  return () => {
    for (const file of files) unwatchFile(file, renew)
    forget?.()
  }
}
