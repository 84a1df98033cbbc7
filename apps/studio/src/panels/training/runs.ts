/** Training runs as the server tells of them: one stream for all that is shown, closed while nobody looks at the page. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { connection, events } from '../../api.ts'

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
  readonly processes: Readonly<Record<string, Process | null>>
  readonly logs: ReadonlyMap<string, Log>
}
interface News extends Omit<Followed, 'logs'> {
  readonly news: readonly (Log & { readonly name: string; readonly reset: boolean })[]
}

const nothing: Log = { records: [], samples: [] }

export const liveOf = ({ runs, processes, logs }: Followed, name: string): Live => ({
  ...(logs.get(name) ?? nothing),
  run: runs.find((run) => run.name === name) ?? null,
  process: processes[name] ?? null,
})

/** @param names runs whose logs are wanted */
export function useRuns(names: readonly string[]): Followed {
  const followed = useSignal<Followed>({ folder: '', runs: [], processes: {}, logs: new Map() })
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
    void follow(names, left.signal, (next) => {
      followed.value = next
    })
    return () => left.abort()
  }, [names.join('/'), connection.value, seen.value])
  return followed.value
}

async function follow(names: readonly string[], signal: AbortSignal, tell: (next: Followed) => void): Promise<void> {
  const query = new URLSearchParams(names.map((name) => ['run', name]))
  while (!signal.aborted) {
    try {
      const response = await fetch(new URL(`./studio/runs/events?${query}`, document.baseURI), { signal })
      // Each connection begins with all there is.
      let logs: ReadonlyMap<string, Log> = new Map()
      if (response.ok && response.body)
        for await (const data of events(response.body)) {
          if (signal.aborted) return
          const { news, ...about } = JSON.parse(data) as News
          logs = news.reduce((all, each) => new Map(all).set(each.name, added(all.get(each.name), each)), logs)
          tell({ ...about, logs })
        }
    } catch {
      // The connection says so, or the page has left.
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1500))
  }
}

function added(before: Log | undefined, { reset, records, samples }: News['news'][number]): Log {
  const { records: r, samples: s } = (!reset && before) || nothing
  return { records: [...r, ...records], samples: [...s, ...samples] }
}
