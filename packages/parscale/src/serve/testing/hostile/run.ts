/** Sends hostile requests to a server process, and says what was not as it has to be. */
import { readFileSync } from 'node:fs'
import { loopDelay, loopHeld, type ServerProcess } from '../server-process.ts'
import { type Attack, attackOf } from './attacks.ts'
import type { Exchange } from './wire.ts'

export interface HostileReport {
  readonly faults: readonly string[]
  /** Answers by kind of attack and status. */
  readonly statuses: ReadonlyMap<string, number>
  /** Seconds, the longest that the server's event loop was held. */
  readonly loopDelay: number
  /** Of these, what the server itself took, without the time in which others on the machine had its processor. */
  readonly loopHeld: number
  /** Bytes of the server's process: at the beginning, after each fifth, and at the end. */
  readonly resident: readonly number[]
}

export interface HostileOptions {
  readonly seed: number
  readonly count: number
  /** Number of the first one. */
  readonly first?: number
  /** Clients at a time. */
  readonly clients?: number
  readonly onProgress?: (done: number) => void
}

type Answer = Exchange['answers'][number]

/** Statuses that Node gives to what is no request, before our app sees it. */
const unreadable = new Set([400, 408, 413, 417, 431])

export async function sendHostile(server: ServerProcess, options: HostileOptions): Promise<HostileReport> {
  const { seed, count, first = 0, clients = 16, onProgress } = options
  const port = Number(new URL(server.url).port)
  const declared = await declaredStatuses(server)
  const faults: string[] = []
  const statuses = new Map<string, number>()
  const memory: number[] = []
  let next = first
  const client = async () => {
    while (next < first + count && !server.child.killed) {
      const number = next++
      if ((number - first) % Math.max(1, Math.floor(count / 5)) === 0) memory.push(residentBytes(server.child.pid!))
      if ((number - first) % 100 === 0) onProgress?.(number - first)
      const attack = attackOf(seed, number)
      try {
        for (const answer of await attack.run(port)) {
          const key = `${attack.name} ${answer.status}`
          statuses.set(key, (statuses.get(key) ?? 0) + 1)
          const fault = faultOf(attack, answer, declared)
          if (fault) faults.push(`seed ${seed}, number ${number}, ${attack.name} ${attack.path}: ${fault}`)
        }
      } catch (error) {
        faults.push(`seed ${seed}, number ${number}, ${attack.name} ${attack.path}: ${(error as Error).message}`)
        if (server.child.exitCode !== null || server.child.signalCode !== null) return
      }
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  memory.push(residentBytes(server.child.pid!))
  return { faults, statuses, loopDelay: await loopDelay(server), loopHeld: await loopHeld(server), resident: memory }
}

/** By path and method, the statuses of our own document. */
async function declaredStatuses({
  url,
}: ServerProcess): Promise<(path: string, method: string) => ReadonlySet<number> | undefined> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { responses: Record<string, unknown> }>>
  }
  const places = Object.entries(paths).map(([template, methods]) => ({
    matches: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '.+')}$`),
    methods: new Map(
      Object.entries(methods).map(([method, { responses }]) => [method, new Set(Object.keys(responses).map(Number))]),
    ),
  }))
  return (path, method) => {
    // As the server reads it: `/v1/../health` is `/health`.
    const { pathname } = new URL(path, 'http://localhost')
    return places.find(({ matches }) => matches.test(pathname))?.methods.get(method === 'head' ? 'get' : method)
  }
}

function faultOf(
  { method, path }: Attack,
  { status, head, body }: Answer,
  declared: Awaited<ReturnType<typeof declaredStatuses>>,
): string | undefined {
  const known = declared(path, method)
  if (status === 500 || status === 502) return `status ${status}: ${body.slice(0, 300)}`
  if (status >= 500 && !known?.has(status)) return `status ${status}, which is not declared: ${body.slice(0, 300)}`
  if (known && !known.has(status) && !unreadable.has(status)) return `status ${status} is not declared`
  if (!known && status < 400 && method !== '' && method !== 'options') return `status ${status} of a place that is not there`
  // Errors have OpenAI's shape, where it was our app that answered.
  if (status >= 400 && /^content-type: application\/json/im.test(head) && method !== 'head') {
    const { error } = JSON.parse(Buffer.from(body, 'latin1').toString()) as { error?: { message?: unknown; type?: unknown } }
    if (typeof error?.message !== 'string' || typeof error.type !== 'string')
      return `an error of another shape: ${body.slice(0, 300)}`
  }
  return undefined
}

/** Of a process. Where it cannot be read, 0. */
function residentBytes(pid: number): number {
  try {
    return 1024 * Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
