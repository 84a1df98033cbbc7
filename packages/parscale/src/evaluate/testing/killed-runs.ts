/** Evaluations that are killed at random moments until one comes to its end. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { mainPath } from '../../testing/cli.ts'
import { fixtureFolder } from './peer-runs.ts'

export const args = (out: string, limit: number) => [
  ...['eval', '--tasks', `${fixtureFolder}questions.yaml,${fixtureFolder}sums.yaml`, '--p', '1,2', '--limit', String(limit)],
  ...['--batch', '2', '--out', out, '--resume', '--log-samples'],
]

const start = (given: readonly string[]) =>
  spawn(process.execPath, ['--conditions=source', '--import', 'tsx', mainPath, ...given], {
    env: { ...process.env, PARSCALE_CONFIG: devNull },
    stdio: ['ignore', 'ignore', 'pipe'],
  })

/** @param signal which ends it after some time. @returns its exit code; null where it was killed */
export async function runFor(given: readonly string[], milliseconds: number, signal: NodeJS.Signals): Promise<number | null> {
  const child = start(given)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const clock = setTimeout(() => child.kill(signal), milliseconds)
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(clock)
  if (code !== null && code !== 0 && code !== 130) throw new Error(`exit code ${code}: ${said}`)
  return code
}

/** Answers in a folder, without the head and what is not a whole line. */
export function answersIn(out: string): { p: number; task: string; doc_id: number }[] {
  const path = join(out, 'answers.jsonl')
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .trimEnd()
    .split('\n')
    .slice(1)
  return lines.map((line) => JSON.parse(line) as { p: number; task: string; doc_id: number })
}

/** @param signal which ends it once there are `more` answers than before. @returns its exit code; null where it was killed */
export async function runUntil(out: string, limit: number, more: number, signal: NodeJS.Signals): Promise<number | null> {
  const before = answersIn(out).length
  const child = start(args(out, limit))
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  let over = false
  void ended.then(() => {
    over = true
  })
  while (!over && answersIn(out).length < before + more) await sleep(5)
  child.kill(signal)
  const code = await ended
  if (code !== null && code !== 0 && code !== 130) throw new Error(`exit code ${code}: ${said}`)
  return code
}
