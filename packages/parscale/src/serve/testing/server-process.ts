/** `parscale serve` as a process of its own, and what its /metrics say. */
import { type ChildProcess, spawn } from 'node:child_process'
import process from 'node:process'
import { mainPath } from '../../testing/cli.ts'

export interface ServerProcess {
  readonly child: ChildProcess
  readonly url: string
  readonly output: { stdout: string; stderr: string }
  /** Its exit status. */
  readonly ended: Promise<number | null>
  /** The sum of a metric's values whose labels contain `labels`. */
  metric(name: string, labels?: string): Promise<number>
  kill(): Promise<void>
}

/** Starts a server on a free port, and waits until it is ready. @throws with what it said where it ends before */
export async function startServer(
  args: readonly string[],
  { env = {}, node = [] }: { env?: NodeJS.ProcessEnv; node?: readonly string[] } = {},
): Promise<ServerProcess> {
  const child = spawn(
    process.execPath,
    [...node, '--conditions=source', '--import', 'tsx', mainPath, 'serve', '--port', '0', '--threads', '1', ...args],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  while (!output.stderr.includes('ready: ')) {
    const code = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20))])
    if (code !== undefined) throw new Error(output.stderr)
  }
  const url = /listening on (\S+)/.exec(output.stderr)![1]!
  return {
    ...{ child, url, output, ended },
    async metric(name, labels = '') {
      const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n')
      const values = lines
        .filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(labels))
        .map((line) => line.split(' ').at(-1))
      if (values.length === 0) throw new Error(`no metric ${name} ${labels}`)
      return values.reduce((sum, value) => sum + Number(value), 0)
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

export const loopDelay = (server: ServerProcess): Promise<number> =>
  server.metric('parscale_event_loop_delay_seconds', 'quantile="1"')
