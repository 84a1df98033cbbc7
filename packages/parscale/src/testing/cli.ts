/** Runs the command line as a real process. */
import { spawn } from 'node:child_process'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export const mainPath = fileURLToPath(new URL('main.ts', import.meta.url))

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string
  /** Called with the process as soon as it has written something. */
  readonly onOutput?: (kill: (signal: NodeJS.Signals) => void) => void
}

export function parscale(args: readonly string[], options: CliOptions = {}): Promise<Finished> {
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', mainPath, ...args], {
    env: { ...process.env, PARSCALE_CONFIG: devNull, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '') options.onOutput?.((signal) => child.kill(signal))
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => {}).end(options.input ?? '')
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}
