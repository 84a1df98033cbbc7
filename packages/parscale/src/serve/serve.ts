/** A server from start to end: listens, loads, answers, drains. */
import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { usageError } from '@parscale/core/internal'
import type { SchedulerOptions } from '@parscale/core/internal/generation'
import {
  createServerApp,
  grammarConstraints,
  ModelRegistry,
  type RequestRecord,
  type ServerApp,
  type ServerLimits,
  type ServerState,
  type StreamPolicy,
  serverEnding,
} from '@parscale/core/internal/server'
import { type LoadOptions, loadTextModel } from '../load/load.ts'
import { keyCheck } from './keys.ts'
import { type ListenOptions, listen } from './listen.ts'
import { watchLoop } from './loop-delay.ts'
import type { NamedModel } from './model-names.ts'
import { type RenewOptions, renewing } from './renew.ts'
import { logLine } from './request-log.ts'

export interface ServeOptions extends ListenOptions {
  /** The first one is loaded at once, the others when they are asked for. */
  readonly models: readonly NamedModel[]
  readonly pinned?: readonly string[]
  readonly load: LoadOptions
  readonly scheduling: SchedulerOptions
  readonly limits: Partial<ServerLimits>
  readonly policy: StreamPolicy
  /** Absent: whoever reaches the server may use it. Read again when the file changes. */
  readonly keys?: { readonly file?: string; read(): Promise<readonly string[]> }
  /** Calls the listener on each SIGHUP; returns what stops that. */
  readonly onHangup?: RenewOptions['onHangup']
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
  /** What is answered beside the API. */
  readonly beside?: (registry: ModelRegistry) => Beside
}

/** Further answers of a server. */
export interface Beside {
  /** Files that hold nothing but a program: anybody may have them, so a link from another page opens them. */
  readonly page: (request: Request) => Promise<Response | undefined>
  /** Behind the checks of who calls. */
  readonly answer: (request: Request) => Promise<Response | undefined>
  /** Ends what is under way. */
  readonly close: () => void
}

/** Where nobody but this machine can connect. */
const isLoopback = (host: string) => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/** Names under which nobody but this machine can be meant: a page elsewhere cannot point one of them here. */
function ownNames(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return [
    'localhost',
    hostname(),
    '[::1]',
    ...addresses.map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address)),
  ]
}

export async function serve(options: ServeOptions): Promise<void> {
  const { host, models, signal, say } = options
  const keys = (await options.keys?.read()) ?? []
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
  let state: ServerState = 'loading'
  let isKey = keyCheck(keys)
  const beside = options.beside?.(registry)
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
    isKey: isKey && ((key) => isKey!(key)),
    // All names of a machine that is reached from elsewhere are not known here; keys guard it.
    hosts: isLoopback(host) || options.hosts ? [...ownNames(), host, ...(options.hosts ?? [])] : undefined,
    state: () => state,
    ...(beside && { otherwise: beside.answer }),
    onRequest: (record) => {
      if (!isProbe(record)) options.log(logLine(record))
    },
    onError: (error) => say(`parscale: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  })
  const answering = beside ? { fetch: async (request: Request) => (await beside.page(request)) ?? app.fetch(request) } : app
  const listener = await listen(answering, options)
  const { tls, onHangup } = options
  const stopRenewing = [
    renewing({
      ...{ what: 'keys', say, onHangup },
      files: [options.keys?.file].filter((file) => file !== undefined),
      read: async () => {
        if (isKey) isKey = keyCheck((await options.keys?.read()) ?? [])
      },
    }),
    renewing({
      ...{ what: 'certificate', say, onHangup },
      files: tls ? [tls.cert, tls.key] : [],
      read: () => listener.renewTls(),
    }),
  ]
  try {
    say(`listening on ${listener.url}`)
    options.onListen?.(listener.url)
    const ended = new Promise<'ended'>((resolve) => {
      if (signal.aborted) resolve('ended')
      signal.addEventListener('abort', () => resolve('ended'), { once: true })
    })
    const loading = registry.load(models[0]!.id).then(() => 'loaded' as const)
    if ((await Promise.race([loading, ended])) === 'loaded') {
      loop.reset()
      checkRange(registry, options.policy)
      state = 'ready'
      say(`ready: ${models.map(({ id }) => id).join(', ')}`)
      await ended
    } else loading.catch(() => {})
    state = 'ending'
    beside?.close()
    if (app.active() > 0) say(`ending: ${app.active()} requests are under way, at most ${options.drainMs / 1000} s more`)
    // It listens as long as something is under way: whoever asks is told that it ends, and asks elsewhere.
    const drained = async () => {
      await idle(app)
      await listener.close()
    }
    await within(options.drainMs, drained())
    if (app.active() === 0) return
    say(`ending: ${app.active()} requests took too long and are cut off`)
    cut.abort(serverEnding())
    await within(cutMs, drained())
  } finally {
    for (const stop of stopRenewing) stop()
    beside?.close()
    cut.abort(serverEnding())
    loop.stop()
    listener.cut()
    await registry.close()
  }
}

/** @throws usage error for bounds between which the first model has no P */
function checkRange(registry: ModelRegistry, { range }: StreamPolicy): void {
  const availableP = registry.statuses[0]?.loaded?.text.model.availableP
  if (!range || !availableP || availableP.some((p) => p >= range[0] && p <= range[1])) return
  throw usageError(`--p-range ${range.join(',')}: the model has no P within it; it has P = ${availableP.join(', ')}`, {
    flag: '--p-range',
  })
}

/** Orchestrators ask every other second, for as long as the server lives. */
const isProbe = ({ path }: Pick<RequestRecord, 'path'>) => path === '/health' || path === '/livez'

/** For those that are cut off to be told. */
const cutMs = 1000

async function idle({ active }: Pick<ServerApp, 'active'>): Promise<void> {
  while (active() > 0) await new Promise((resolve) => setTimeout(resolve, 20).unref())
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
