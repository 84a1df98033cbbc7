/** What a sweep must do on every backend: the steps of the real tests. The command runs as processes of a bundle, which start quickly. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { bundledCommand } from '../../testing/bundle.ts'
import type { SweepStatus } from '../status.ts'

export interface Program {
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Running
  close(): Promise<void>
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>
  stderr(): string
}

/** @param cache PARSCALE_CACHE */
export async function bundledProgram(cache: string): Promise<Program> {
  const { program, folder } = await bundledCommand()
  return {
    run(args, env = {}) {
      const child = spawn(process.execPath, [program, ...args], {
        env: { ...process.env, ...env, PARSCALE_CACHE: cache },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      const ended = new Promise<Awaited<Running['ended']>>((resolve) =>
        child.on('close', (code) => resolve({ code, stdout, stderr })),
      )
      return { child, ended, stderr: () => stderr }
    },
    close: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Process ids of the workers that have a run: the locks name them. */
export function workersOf(folder: string): number[] {
  const claims = join(folder, 'claims')
  return (existsSync(claims) ? readdirSync(claims) : []).flatMap((name) => {
    try {
      return [JSON.parse(readFileSync(join(claims, name), 'utf8')).pid as number]
    } catch {
      return [] // just made, or just removed
    }
  })
}

/** Lines of the journal so far: how far a sweep is. */
export function linesOf(folder: string): number {
  const path = join(folder, 'journal.jsonl')
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length : 0
}

/**
 * Kills workers that have a run: one for every so many lines of the journal, at random moments, until there were so many or the signal
 * comes. By progress, not by time, for a slow machine may need longer for a run than lies between any two kills; whoever is behind kills
 * several at once.
 *
 * @returns how many
 */
export async function killWorkers(
  folder: string,
  count: number,
  lines: number,
  seed: number,
  signal: AbortSignal,
): Promise<number> {
  const random = createRandom(seed)
  const begin = linesOf(folder)
  let killed = 0
  while (killed < count && !signal.aborted) {
    await sleep(20 + random.uniform() * 200)
    const due = Math.min(count, Math.floor((linesOf(folder) - begin) / lines)) - killed
    const pids = workersOf(folder)
    for (let i = 0; i < due && pids.length > 0; i++) {
      const [pid] = pids.splice(random.below(pids.length), 1)
      try {
        process.kill(pid!, 'SIGKILL')
        killed++
      } catch {} // gone already
    }
  }
  return killed
}

export const tables = (folder: string) => ['results.csv', 'runs.csv'].map((name) => readFileSync(join(folder, name), 'utf8'))

/** Each run's end was reported once, and has a folder. */
export function endsOf(folder: string): { readonly finished: string[]; readonly folders: string[] } {
  const lines = readFileSync(join(folder, 'journal.jsonl'), 'utf8').trimEnd().split('\n')
  const finished = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'finished')
  return { finished: finished.map(({ run }) => run).sort(), folders: readdirSync(join(folder, 'runs')).sort() }
}

export async function statusOf(program: Program, folder: string): Promise<SweepStatus> {
  return JSON.parse((await program.run(['sweep', 'status', folder, '--json']).ended).stdout)
}
