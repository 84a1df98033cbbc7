/** A server from start to end: listens, loads, answers, drains. */
import { isIP } from 'node:net'
import { usageError } from '@parscale/core/internal'
import type { SchedulerOptions } from '@parscale/core/internal/generation'
import {
  createServerApp,
  grammarConstraints,
  ModelRegistry,
  type ServerLimits,
  type StreamPolicy,
} from '@parscale/core/internal/server'
import { type LoadOptions, loadTextModel } from '../load/load.ts'
import { keyCheck } from './keys.ts'
import { type ListenOptions, listen } from './listen.ts'
import { watchLoop } from './loop-delay.ts'
import type { NamedModel } from './model-names.ts'
import { logLine } from './request-log.ts'

export interface ServeOptions extends ListenOptions {
  /** The first one is loaded at once, the others when they are asked for. */
  readonly models: readonly NamedModel[]
  readonly pinned?: readonly string[]
  readonly load: LoadOptions
  readonly scheduling: SchedulerOptions
  readonly limits: Partial<ServerLimits>
  readonly policy: StreamPolicy
  readonly keys: readonly string[]
  readonly origins?: readonly string[]
  /** Further names under which the server may be called. */
  readonly hosts?: readonly string[]
  readonly idleUnloadMs?: number
  /** How long requests under way may take at the end. */
  readonly drainMs: number
  readonly version: string
  /** Aborted: the server ends. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
  /** Takes a line of JSON for each request. */
  readonly log: (line: string) => void
  readonly onListen?: (url: string) => void
}

/** Where nobody but this machine can connect. */
const isLoopback = (host: string) => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

export async function serve(options: ServeOptions): Promise<void> {
  const { host, keys, models, signal, say } = options
  if (keys.length === 0 && !isLoopback(host))
    throw usageError(
      `--host ${host}: whoever can reach this address could use the server; give it keys with --api-key-file or PARSCALE_API_KEY`,
      {
        flag: '--host',
      },
    )
  const unknown = options.pinned?.find((id) => !models.some((model) => model.id === id))
  if (unknown !== undefined) throw usageError(`--pin ${unknown}: there is no model of this name`, { flag: '--pin' })
  const registry = new ModelRegistry(
    models.map(({ id, model }) => ({
      id,
      pinned: options.pinned?.includes(id),
      load: () => loadTextModel(model, { ...options.load, scheduling: options.scheduling }),
    })),
    options.idleUnloadMs === undefined ? {} : { idleMs: options.idleUnloadMs },
  )
  const cut = new AbortController()
  const loop = watchLoop()
  let ready = false
  const app = createServerApp({
    ...{
      registry,
      version: options.version,
      limits: options.limits,
      policy: options.policy,
      origins: options.origins,
      signal: cut.signal,
      loopDelay: loop.delay,
    },
    constrain: grammarConstraints(),
    isKey: keyCheck(keys),
    // Names of a machine that is reached from elsewhere are not known here; keys guard it.
    hosts: isLoopback(host) ? ['localhost', '127.0.0.1', '[::1]', host, ...(options.hosts ?? [])] : options.hosts,
    ready: () => ready,
    onRequest: (record) => options.log(logLine(record)),
    onError: (error) => say(`parscale: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  })
  const listener = await listen(app, options)
  try {
    say(`listening on ${listener.url}`)
    options.onListen?.(listener.url)
    const ended = new Promise<'ended'>((resolve) => {
      if (signal.aborted) resolve('ended')
      signal.addEventListener('abort', () => resolve('ended'), { once: true })
    })
    const loading = registry.load(models[0]!.id).then(() => 'loaded' as const)
    if ((await Promise.race([loading, ended])) === 'loaded') {
      ready = true
      loop.reset()
      say(`ready: ${models.map(({ id }) => id).join(', ')}`)
      await ended
    } else loading.catch(() => {})
    ready = false
    await drain(app.active, listener, options)
  } finally {
    cut.abort(new Error('the server ends'))
    loop.stop()
    listener.cut()
    await registry.close()
  }
}

/** Waits for the requests under way, for as long as they may take. */
async function drain(active: () => number, listener: { close(): Promise<void> }, { drainMs, say }: ServeOptions): Promise<void> {
  if (active() > 0) say(`ending: ${active()} requests are under way, at most ${drainMs / 1000} s more`)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, drainMs)
  })
  await Promise.race([listener.close(), late])
  clearTimeout(timer)
}
