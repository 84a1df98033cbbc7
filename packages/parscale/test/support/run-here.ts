/** The command line in this process: much faster than a process of its own (cli.ts), where signals and pipes do not matter. */
import { run } from '../../src/cli.ts'
import type { Finished } from './cli.ts'

export async function runHere(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  let [stdout, stderr] = ['', '']
  const code = await run(['node', 'parscale', ...args], {
    stdout: (text) => {
      stdout += text
    },
    stderr: (text) => {
      stderr += text
    },
    isTTY: { stdout: false, stderr: false },
    color: false,
    env,
    signal: new AbortController().signal,
    progress: () => ({ update: () => {}, end: () => {} }),
  })
  return { code, stdout, stderr }
}
