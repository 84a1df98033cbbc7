/** What a sweep is at, as data: `sweep status --json`, and what any page about it needs. */
import { join } from 'node:path'
import { type LockOwner, lockHolder, openToRead } from '@parscale/core/internal/node/disk'
import type { BackendName, JournalLine } from './journal.ts'
import type { RunOutlook, RunState } from './rules.ts'
import type { SweepFolder } from './sweep-folder.ts'

export interface SweepStatus {
  readonly folder: string
  readonly id: string
  readonly recipe: string
  readonly on: BackendName | null
  /** Of Slurm. */
  readonly job: string | null
  /** `idle`: something is left to do and nobody does it. */
  readonly state: 'done' | 'running' | 'paused' | 'idle'
  readonly counts: Readonly<Record<RunState | 'running', number>>
  /** Of all runs; those that were stopped count as far as they came. */
  readonly steps: { readonly done: number; readonly total: number }
  readonly runs: readonly RunStatus[]
}

export interface RunStatus {
  readonly name: string
  readonly axes: Readonly<Record<string, string>>
  readonly seed: number
  /** `running`: a process has it now. `rung`: waits whether it is to go on. */
  readonly state: RunState | 'running'
  readonly step: number
  readonly steps: number
  readonly loss: number | null
  readonly worker: { readonly pid: number; readonly host: string } | null
  readonly message: string | null
}

export async function sweepStatus(folder: SweepFolder): Promise<SweepStatus> {
  const lines = await folder.journal.read()
  const { runs: outlook, ready } = folder.outlook(lines)
  const runs = await Promise.all(outlook.map((run) => runStatus(folder, run)))
  const counts = { running: 0, waiting: 0, begun: 0, rung: 0, stopped: 0, finished: 0, failed: 0 }
  for (const { state } of runs) counts[state]++
  const started = lastStarted(lines)
  const sum = (of: (run: RunStatus) => number) => runs.reduce((total, run) => total + of(run), 0)
  const isOver = ({ state }: RunStatus) => state === 'stopped' || state === 'failed'
  const state = ready.length === 0 ? 'done' : counts.running > 0 ? 'running' : (await folder.isPaused()) ? 'paused' : 'idle'
  return {
    ...{ folder: folder.path, id: folder.head.id, recipe: folder.head.recipe },
    ...{ on: started?.on ?? null, job: started?.job ?? null, state, counts },
    steps: { done: sum(({ step }) => step), total: sum((run) => (isOver(run) ? run.step : run.steps)) },
    runs,
  }
}

export const lastStarted = (lines: readonly JournalLine[]) =>
  lines.findLast((line): line is JournalLine & { event: 'started' } => line.event === 'started')

async function runStatus(folder: SweepFolder, run: RunOutlook): Promise<RunStatus> {
  const { name, cell, seed, state, step, steps, loss, message } = run
  const isOpen = state !== 'finished' && state !== 'failed' && state !== 'stopped'
  const owner: LockOwner | undefined = isOpen ? await lockHolder(folder.claim(name)) : undefined
  return {
    ...{ name, axes: folder.head.cells[cell]!.axes, seed, steps, loss: loss ?? null, message: message ?? null },
    state: owner ? 'running' : state,
    step: owner ? Math.max(step, await loggedStep(folder.run(name))) : step,
    worker: owner ? { pid: owner.pid, host: owner.host } : null,
  }
}

/** The last step in a run's metrics; 0 where there is none. */
async function loggedStep(run: string): Promise<number> {
  const file = await openToRead(join(run, 'metrics.jsonl')).catch(() => undefined)
  if (!file) return 0
  try {
    const { size } = await file.stat()
    const bytes = new Uint8Array(Math.min(size, 4096))
    await file.read(bytes, 0, bytes.length, size - bytes.length)
    const steps = [...new TextDecoder().decode(bytes).matchAll(/"step":(\d+)[^\n]*\n/g)]
    return Number(steps.at(-1)?.[1] ?? 0)
  } catch {
    return 0 // cut back just now
  } finally {
    await file.close()
  }
}
