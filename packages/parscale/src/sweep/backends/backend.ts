/** What a sweep's workers run on. All of them do the same (worker.ts); a backend starts them and knows whether they are still there. */
import process from 'node:process'
import type { BackendName, Started } from '../journal.ts'

export interface Backend {
  readonly name: BackendName
  /** Names what is missing or wrong, before anything is made. @throws usage error, hub error */
  check(): Promise<void>
  /** Starts workers. The folder is ready. */
  start(): Promise<Started>
  /** How many workers there are, or are still to come. Undefined: others start them. @throws what ended one that no other would be spared */
  alive(): Promise<number | undefined>
  /** After the folder was paused: ends what does not look at it by itself. */
  stop(): Promise<void>
  /** After the last job. */
  clear?(): Promise<void>
}

/** How this program is started once more, as a worker. */
export const workerCommand = (folder: string): string[] => [
  ...[process.execPath, ...process.execArgv, process.argv[1]!],
  ...['sweep', 'work', folder],
]
