/** Runs the programs beside this file, which are other people's clients. */
import { spawn } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type NpmEnvironment, node22, npmEnvironment } from '../../../../../scripts/npm-env.mjs'

const root = fileURLToPath(new URL('../../../../../', import.meta.url))

/** The last line of what a script prints, as JSON. @throws with what it says where it fails */
export async function runClient(
  program: string,
  script: string,
  args: readonly string[],
  input = '',
): Promise<Record<string, unknown>> {
  return lastLine(await output(program, [fileURLToPath(new URL(script, import.meta.url)), ...args], { input }))
}

/** The same with the packages of `.cache/npm/<environment>`, on Node 22. */
export async function runNewerClient(
  environment: NpmEnvironment,
  script: string,
  args: readonly string[],
): Promise<Record<string, unknown>> {
  // Where Node looks for packages is where the script lies.
  const copy = join(npmEnvironment(environment), script)
  copyFileSync(fileURLToPath(new URL(script, import.meta.url)), copy)
  return lastLine(await runOnNode22(copy, args))
}

/** What a program prints that runs in the repository's folder. */
export const runOnNode22 = (path: string, args: readonly string[] = []) => output(node22(), [path, ...args])

/** @throws with what the program says where it fails */
export async function output(
  program: string,
  args: readonly string[],
  { input = '', env = process.env, cwd = root }: { input?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env, cwd })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => {}).end(input)
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}\n${stdout}`)
  return stdout
}

const lastLine = (printed: string) => JSON.parse(printed.trim().split('\n').at(-1)!) as Record<string, unknown>
