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
  /** Such sums of several metrics, at one moment. */
  metrics<N extends string>(names: readonly N[]): Promise<Record<N, number>>
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
    metric: async (name, labels) => sumOf(await metricLines(url), name, labels),
    async metrics<N extends string>(names: readonly N[]) {
      const lines = await metricLines(url)
      return Object.fromEntries(names.map((name) => [name, sumOf(lines, name)])) as Record<N, number>
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const metricLines = async (url: string): Promise<string[]> => (await (await fetch(`${url}/metrics`)).text()).split('\n')

function sumOf(lines: readonly string[], name: string, labels = ''): number {
  const found = lines.filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(labels))
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

export const loopDelay = (server: ServerProcess): Promise<number> =>
  server.metric('parscale_event_loop_delay_seconds', 'quantile="1"')
