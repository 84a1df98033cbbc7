/** `parscale serve` as real processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import process from 'node:process'
import { mainPath } from '../../testing/cli.ts'

const children: ChildProcess[] = []

export interface ServerProcess {
  readonly child: ChildProcess
  /** What it has written until now. */
  readonly output: { readonly stdout: string; readonly stderr: string }
  /** Its exit code. */
  readonly ended: Promise<number | null>
  /** Waits for a text on stderr. @throws with what it said, where it ended before */
  said(text: string): Promise<void>
}

/** Starts a server on any port that is free, unless `args` say one. */
export function spawnServer(args: readonly string[], env: NodeJS.ProcessEnv = {}): ServerProcess {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', mainPath, 'serve', '--port', '0', '--threads', '1', ...args],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const said = async (text: string) => {
    while (!output.stderr.includes(text)) {
      const code = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20))])
      if (code !== undefined) throw new Error(output.stderr)
    }
  }
  return { child, output, ended, said }
}

/** Starts a server, and waits until it is ready. @throws with what it said, where it ended before */
export async function startServer(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const server = spawnServer(args, env)
  await server.said('ready: ')
  return { ...server, url: /listening on (\S+)/.exec(server.output.stderr)![1]! }
}

export function killServers(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL')
}
