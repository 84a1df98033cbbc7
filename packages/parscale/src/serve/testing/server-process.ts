/** `parscale serve` as real processes, and what their /metrics say. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { mainPath } from '../../testing/cli.ts'

const children: ChildProcess[] = []

export interface SpawnedServer {
  readonly child: ChildProcess
  /** What it has written until now. */
  readonly output: { readonly stdout: string; readonly stderr: string }
  /** Its exit code. */
  readonly ended: Promise<number | null>
  /** Waits for a text on stderr. @throws with what it said, where it ended before */
  said(text: string): Promise<void>
  kill(): Promise<void>
}

export interface ServerProcess extends SpawnedServer {
  readonly url: string
  /** The sum of a metric's values whose labels contain `labels`. */
  metric(name: string, labels?: string): Promise<number>
  /** Such sums of several metrics, at one moment. */
  metrics<N extends string>(names: readonly N[]): Promise<Record<N, number>>
}

export interface SpawnOptions {
  readonly env?: NodeJS.ProcessEnv
  /** Flags of Node itself. */
  readonly node?: readonly string[]
}

/** Starts a server on any port that is free, unless `args` say one. */
export function spawnServer(args: readonly string[], { env = {}, node = [] }: SpawnOptions = {}): SpawnedServer {
  const child = spawn(
    process.execPath,
    [...node, '--conditions=source', '--import', 'tsx', mainPath, 'serve', '--port', '0', '--threads', '1', ...args],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const said = async (text: string) => {
    while (!output.stderr.includes(text)) {
      const code = await Promise.race([
        ended,
        once(child.stderr, 'data').then(
          () => undefined,
          () => undefined,
        ),
      ])
      if (code !== undefined) throw new Error(output.stderr)
    }
  }
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  return { child, output, ended, said, kill }
}

/** Starts a server, and waits until it is ready. @throws with what it said, where it ended before */
export async function startServer(args: readonly string[], options: SpawnOptions = {}): Promise<ServerProcess> {
  const server = spawnServer(args, options)
  await server.said('ready: ')
  const url = /listening on (\S+)/.exec(server.output.stderr)![1]!
  return {
    ...server,
    url,
    metric: async (name, labels) => sumOf(await metricLines(url), name, labels),
    async metrics<N extends string>(names: readonly N[]) {
      const lines = await metricLines(url)
      return Object.fromEntries(names.map((name) => [name, sumOf(lines, name)])) as Record<N, number>
    },
  }
}

/** All that were started here. */
export function killServers(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL')
}

const metricLines = async (url: string): Promise<string[]> => (await (await fetch(`${url}/metrics`)).text()).split('\n')

function sumOf(lines: readonly string[], name: string, labels = ''): number {
  const found = lines.filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(labels))
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

export const loopDelay = (server: ServerProcess): Promise<number> =>
  server.metric('parscale_event_loop_delay_seconds', 'quantile="1"')

/** Of the longest hold, what the server itself took: others on the machine had no part in it. Where nobody counts that, all of it. */
export async function loopHeld(server: ServerProcess): Promise<number> {
  const { parscale_event_loop_held_seconds: held } = await server.metrics(['parscale_event_loop_held_seconds'])
  return held || loopDelay(server)
}
