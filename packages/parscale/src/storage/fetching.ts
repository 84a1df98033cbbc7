/** How a command fetches what lies at storage: with its signal and a bar. */
import type { Io } from '../terminal/io.ts'
import type { Fetching } from './address.ts'

export function fetchingOf(io: Io, what = 's3'): Fetching {
  let progress: ReturnType<Io['progress']> | undefined
  return {
    env: io.env,
    signal: io.signal,
    onDownload: ({ doneBytes, totalBytes }) => {
      progress ??= io.progress(`fetching from ${what}`, 'B')
      progress.update(doneBytes, totalBytes)
      if (doneBytes < totalBytes) return
      progress.end()
      progress = undefined
    },
  }
}
