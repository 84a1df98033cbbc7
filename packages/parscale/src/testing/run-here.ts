/** The command line in this process: much faster than a process of its own (cli.ts), where signals and pipes do not matter. */
import { devNull } from 'node:os'
import { run } from '../cli.ts'
import type { Finished } from './cli.ts'

export interface Watching {
  /** As Ctrl-C. */
  readonly signal?: AbortSignal
  /** Told of every piece of talk as it comes. */
  readonly onStderr?: (text: string) => void
  /** As a terminal of this width; absent: a pipe. */
  readonly columns?: number
}

export async function runHere(args: readonly string[], env: NodeJS.ProcessEnv, watching: Watching = {}): Promise<Finished> {
  let [stdout, stderr] = ['', '']
  const code = await run(['node', 'parscale', ...args], {
    stdout: (text) => {
      stdout += text
    },
    stderr: (text) => {
      stderr += text
      watching.onStderr?.(text)
    },
    isTTY: { stdout: false, stderr: false },
    columns: watching.columns,
    color: false,
    env: { PARSCALE_CONFIG: devNull, ...env }, // not whatever this machine's owner has set
    signal: watching.signal ?? new AbortController().signal,
    progress: () => ({ update: () => {}, end: () => {} }),
  })
  return { code, stdout, stderr }
}
