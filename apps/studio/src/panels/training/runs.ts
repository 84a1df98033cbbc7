/** Training runs as the server tells of them: one stream for all that is shown, closed while nobody looks at the page. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { connection, events, json } from '../../api.ts'

export interface Run {
  readonly name: string
  readonly recipe: string
  readonly base: string | null
  readonly p: number
  readonly step: number
  readonly steps: number
  readonly heldOutLoss: number | null
  readonly changed: number
  readonly problem: string | null
  readonly state: 'running' | 'finished' | 'stopped' | 'damaged'
}
/** A run of a sweep; `rung`: it waits whether it may go on. */
export interface SweepRun {
  readonly name: string
  readonly axes: Readonly<Record<string, string>>
  readonly seed: number
  readonly state: 'running' | 'waiting' | 'begun' | 'rung' | 'stopped' | 'finished' | 'failed'
  readonly step: number
  readonly steps: number
  readonly loss: number | null
  readonly message: string | null
}
export interface SweepPoint {
  readonly N: number
  readonly P: number
  readonly D: number
  readonly loss: number
  readonly standardError?: number
  readonly runs: number
  readonly axes: Readonly<Record<string, string>>
}
export interface Sweep {
  readonly name: string
  readonly recipe: string
  readonly state: 'done' | 'running' | 'paused' | 'idle'
  readonly counts: Readonly<Record<SweepRun['state'], number>>
  readonly steps: { readonly done: number; readonly total: number }
  readonly runs: readonly SweepRun[]
  readonly points: readonly SweepPoint[]
  readonly problem: string | null
}
export interface Rec {
  readonly step: number
  readonly kind: string
  readonly loss?: number
  readonly rho?: number
  readonly weightEntropy?: number
  readonly streamLosses?: readonly number[]
  readonly message?: string
}
export interface Sample {
  readonly step: number
  readonly prompt: string
  readonly text: string
}
interface Process {
  readonly said: string
  readonly code?: number | null
}
interface Log {
  readonly records: readonly Rec[]
  readonly samples: readonly Sample[]
}
/** What is known of a run that is shown. */
export interface Live extends Log {
  readonly run: Run | null
  readonly process: Process | null
}
/** All runs, and the logs of those that are shown. */
export interface Followed {
  readonly folder: string
  readonly runs: readonly Run[]
  readonly sweeps: readonly Sweep[]
  readonly processes: Readonly<Record<string, Process | null>>
  readonly logs: ReadonlyMap<string, Log>
  /** Why there is no news, in words; empty while there is. */
  readonly problem: string
}
interface News extends Omit<Followed, 'logs' | 'problem'> {
  readonly news: readonly (Log & { readonly name: string; readonly reset: boolean })[]
}

const nothing: Log = { records: [], samples: [] }

export const liveOf = ({ runs, sweeps, processes, logs }: Followed, name: string): Live => ({
  ...(logs.get(name) ?? nothing),
  run: runs.find((run) => run.name === name) ?? runOf(sweeps, name),
  process: processes[name] ?? null,
})

/** A sweep's run is called SWEEP/RUN here. */
export const nameIn = (sweep: Pick<Sweep, 'name'>, run: Pick<SweepRun, 'name'>): string => `${sweep.name}/${run.name}`

function runOf(sweeps: readonly Sweep[], name: string): Run | null {
  for (const sweep of sweeps)
    for (const run of sweep.runs) {
      if (nameIn(sweep, run) !== name) continue
      const state = run.state === 'running' || run.state === 'finished' ? run.state : 'stopped'
      const { step, steps, loss, message } = run
      return {
        ...{ name, state, step, steps, recipe: sweep.recipe, base: null, p: Number(run.axes.p ?? 0) },
        ...{ heldOutLoss: loss, changed: 0, problem: message },
      }
    }
  return null
}

/** @param names runs whose logs are wanted */
export function useRuns(names: readonly string[]): Followed {
  const followed = useSignal<Followed>({ folder: '', runs: [], sweeps: [], processes: {}, logs: new Map(), problem: '' })
  const seen = useSignal(document.visibilityState === 'visible')
  useEffect(() => {
    const look = () => {
      seen.value = document.visibilityState === 'visible'
    }
    document.addEventListener('visibilitychange', look)
    return () => document.removeEventListener('visibilitychange', look)
  }, [])
  useEffect(() => {
    if (connection.value !== 'here' || !seen.value) return
    const left = new AbortController()
    const tell = (next: Followed) => {
      followed.value = next
    }
    void follow(names, left.signal, tell, (problem) => tell({ ...followed.peek(), problem }))
    return () => left.abort()
  }, [names.join('/'), connection.value, seen.value])
  return followed.value
}

async function follow(
  names: readonly string[],
  signal: AbortSignal,
  tell: (next: Followed) => void,
  fail: (problem: string) => void,
): Promise<void> {
  const query = new URLSearchParams(names.map((name) => ['run', name]))
  while (!signal.aborted) {
    try {
      const response = await fetch(new URL(`./studio/runs/events?${query}`, document.baseURI), { signal })
      // Each connection begins with all there is.
      let logs: ReadonlyMap<string, Log> = new Map()
      if (!response.ok) fail(`the server answered with ${response.status}`)
      else if (!response.headers.get('content-type')?.startsWith('text/event-stream'))
        fail('the server answered with something else than news of runs')
      else if (response.body)
        for await (const data of events(response.body)) {
          if (signal.aborted) return
          const { news, ...about } = JSON.parse(data) as News
          logs = news.reduce((all, each) => new Map(all).set(each.name, added(all.get(each.name), each)), logs)
          tell({ ...about, logs, problem: '' })
        }
    } catch {
      // Whether the server is gone, which the connection then says; or the page has left.
      if (!signal.aborted) await json('/studio/now').catch(() => {})
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1500))
  }
}

function added(before: Log | undefined, { reset, records, samples }: News['news'][number]): Log {
  const { records: r, samples: s } = (!reset && before) || nothing
  return { records: [...r, ...records], samples: [...s, ...samples] }
}
