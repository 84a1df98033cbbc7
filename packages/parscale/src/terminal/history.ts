/** Lines that were typed in earlier sessions, in a file that only its owner reads. */
import { readFile, stat } from 'node:fs/promises'
import { appendToFile, writeWholeFile } from '@parscale/core/internal/node/disk'

/** Lines that are kept. */
export const historyLength = 1000
/** Shortened when a session begins, so that it grows by a session's lines at most. */
const advice = { full: 'free some space', denied: 'leave history off with --no-history' }

export interface History {
  /** Newest first, as node:readline wants them. */
  readonly lines: readonly string[]
  /** Adds a line to the file. A session goes on when the disk refuses; `onFailure` hears of it once. */
  add(line: string): Promise<void>
}

/** Opens or makes the file, readable for its owner alone. A file that cannot be read or written leaves a history of this session. */
export async function openHistory(path: string, onFailure: (message: string) => void): Promise<History> {
  let failed = false
  const attempt = async (work: () => Promise<void>) => {
    if (failed) return
    await work().catch((error: Error) => {
      failed = true
      onFailure(error.message)
    })
  }
  const all = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  const lines = all.slice(-historyLength)
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => undefined,
  )
  if (mode !== 0o600 || all.length > lines.length) {
    await attempt(() =>
      writeWholeFile(
        path,
        async (sink, file) => {
          await file.chmod(0o600)
          await sink.write(new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')))
        },
        advice,
      ),
    )
  }
  return { lines: lines.toReversed(), add: (line) => attempt(() => appendToFile(path, `${line}\n`, advice)) }
}
