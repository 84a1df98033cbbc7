/** Runs the programs beside this file, which are other people's clients. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The last line of what a script prints, as JSON. @throws with what it says where it fails */
export async function runClient(
  program: string,
  script: string,
  args: readonly string[],
  input = '',
): Promise<Record<string, unknown>> {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const child = spawn(program, [path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.end(input)
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout.trim().split('\n').at(-1)!)
}
