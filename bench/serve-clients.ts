/**
 * Clients of a server, in a process of their own (this file, forked), as clients are elsewhere: what they do costs the server's loop
 * nothing. Times are milliseconds since the epoch.
 */
import { fork } from 'node:child_process'
import { Agent, request } from 'node:http'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

/** What became of a request. */
export interface Told {
  /** 0: the connection broke. */
  readonly status: number
  readonly started: number
  readonly ended: number
  /** When each token of a stream came. */
  readonly times: readonly number[]
  /** The stream came to its end. */
  readonly whole: boolean
}

interface Asked {
  readonly id: number
  readonly url: string
  readonly body: string
}
type ToClients = Asked | { readonly leave: number }
type FromClients = { readonly id: number } & Told

export interface Clients {
  readonly pid: number
  /** A streamed completion. @param signal the client goes away */
  stream(url: string, body: object, signal?: AbortSignal): Promise<Told>
  stop(): void
}

export function startClients(): Clients {
  const child = fork(fileURLToPath(import.meta.url), ['--clients'])
  child.on('exit', (code) => {
    if (code !== 0) throw new Error(`the clients' process ended with ${code}`)
  })
  const open = new Map<number, (told: Told) => void>()
  child.on('message', ({ id, ...told }: FromClients) => {
    open.get(id)?.(told)
    open.delete(id)
  })
  const send = (message: ToClients) => child.send(message)
  let next = 0
  return {
    pid: child.pid!,
    stream(url, body, signal) {
      const id = next++
      signal?.addEventListener('abort', () => send({ leave: id }), { once: true })
      return new Promise((resolve) => {
        open.set(id, resolve)
        send({ id, url: `${url}/v1/completions`, body: JSON.stringify({ ...body, stream: true }) })
      })
    },
    stop: () => void child.disconnect(),
  }
}

const now = () => performance.timeOrigin + performance.now()
/** Ids below 256 are bytes; the others are spelled w and their number. */
const tokensOf = (text: string) => text.match(/w\d+|[\s\S]/g)?.length ?? 0

function runClients(): void {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity })
  const leaving = new Map<number, () => void>()
  process.on('message', (message: ToClients) => {
    if ('leave' in message) return leaving.get(message.leave)?.()
    const { id, url, body } = message
    const started = now()
    const times: number[] = []
    let [status, whole, held] = [0, false, '']
    let told = false
    const tell = () => {
      leaving.delete(id)
      if (!told) process.send?.({ id, status, started, ended: now(), times, whole } satisfies FromClients)
      told = true
    }
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const asked = request(url, { method: 'POST', agent, headers }, (response) => {
      status = response.statusCode!
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        const events = (held + text).split('\n\n')
        held = events.pop()!
        const at = now()
        for (const event of events) {
          if (event === 'data: [DONE]') whole = true
          else if (status === 200) {
            const { choices, error } = JSON.parse(event.slice(6)) as { choices?: { text: string }[]; error?: unknown }
            if (error) process.stderr.write(`${JSON.stringify(error)}\n`)
            for (let n = tokensOf(choices?.[0]?.text ?? ''); n > 0; n--) times.push(at)
          }
        }
      })
      response.on('end', tell).on('error', tell)
    })
    leaving.set(id, () => asked.destroy())
    asked.on('error', tell).on('close', tell)
    asked.end(body)
  })
}

if (process.argv[2] === '--clients') runClients()
