/** The server as a function: a Request in, a Response out. No platform in it: it answers in Node and inside a page. */
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import type { z } from 'zod'
import { safeParse } from '../safe-parse.ts'
import { type Answer, newId, now } from './answer.ts'
import type { Constrain, ServerContext } from './context.ts'
import { ApiError, invalid, notFound, overloaded, serverEnding, toApiError, wrongMethod } from './errors.ts'
import { eventStream } from './events.ts'
import { noteFailure } from './failure.ts'
import { grammarConstraints } from './grammars.ts'
import { hostCheck } from './hosts.ts'
import { readJson } from './json-body.ts'
import { defaultLimits, type ServerLimits } from './limits.ts'
import { type LoopDelay, Metrics } from './metrics.ts'
import type { ModelRegistry } from './models.ts'
import { openApiDocument, ownRoutes } from './openapi.ts'
import { originCheck } from './origins.ts'
import { routes } from './routes.ts'
import { noNumbers, type RequestRecord, RequestScope } from './scope.ts'
import type { StreamPolicy } from './streams.ts'

/** Loading: /health says 503, requests wait. Ending: what is under way goes on, everything else is sent elsewhere with 503. */
export type ServerState = 'loading' | 'ready' | 'ending'

/** What an app answers with, and whom. */
export interface ServerOptions {
  readonly registry: ModelRegistry
  readonly version?: string
  readonly limits?: Partial<ServerLimits>
  readonly policy?: StreamPolicy
  /** What holds answers to a form. Default: grammars of JSON Schema, patterns and tools, compiled where the app runs. */
  readonly constrain?: Constrain
  /** Whether a key opens the server. Absent: no key is needed. */
  readonly isKey?: (key: string) => boolean
  /** Origins of pages that may call: `*` for all. Default: none. */
  readonly origins?: readonly string[]
  /** Names under which the server may be called; absent: any. Others are refused, as a page elsewhere may point its name to us. */
  readonly hosts?: readonly string[]
  /** Default: always ready. */
  readonly state?: () => ServerState
  /** Aborted: requests under way end. */
  readonly signal?: AbortSignal
  /** For /metrics; what measures it is the platform's. */
  readonly loopDelay?: () => LoopDelay
  /** Answers what is none of the API's paths, behind the same checks of who calls. Undefined: 404. */
  readonly otherwise?: (request: Request) => Promise<Response | undefined>
  /** Called at the end of each request. */
  readonly onRequest?: (record: RequestRecord) => void
  /** Called with errors that nobody expected. */
  readonly onError?: (error: unknown) => void
}

/** A server without a listener. */
export interface ServerApp {
  /** Answers one request. Its signal, or leaving the body, ends what it computes. */
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly metrics: Metrics
  /** Requests under way. */
  readonly active: () => number
}

type Env = { Variables: { scope: RequestScope } }

/**
 * The OpenAI API over loaded models. It listens nowhere: hand it to any listener that speaks Request and Response, to a worker's
 * port, or to a client as its `fetch`.
 */
export function createServerApp(options: ServerOptions): ServerApp {
  const { registry, version = '0', state = () => 'ready', signal } = options
  const limits = { ...defaultLimits, ...options.limits }
  const metrics = new Metrics(options.loopDelay)
  const context: ServerContext = {
    registry,
    limits,
    metrics,
    policy: options.policy ?? {},
    constrain: options.constrain ?? grammarConstraints(),
    report: options.onError ?? (() => {}),
  }
  const began = now()
  let openApi: ReturnType<typeof openApiDocument> | undefined
  /** Of requests under way. */
  const scopes = new Set<RequestScope>()
  signal?.addEventListener('abort', () => {
    for (const scope of scopes) scope.leave(signal.reason)
  })
  let bodiesBytes = 0
  /** Counts the bytes of a request's body until it ends. */
  const reserveFor = (scope: RequestScope) => {
    let own = 0
    scope.hold(() => {
      bodiesBytes -= own
    })
    return (bytes: number) => {
      if (bodiesBytes + bytes > limits.allBodiesBytes)
        throw overloaded(`the requests under way bring more than ${limits.allBodiesBytes} bytes; try again`, 'memory_full')
      own += bytes
      bodiesBytes += bytes
    }
  }

  const app = new Hono<Env>()
  app.use(async (c, next) => {
    const id = c.req.header('x-request-id')?.match(/^[\w.:-]{1,128}$/)?.[0] ?? newId('req_')
    const { method, path } = c.req
    const record: RequestRecord = { id, method, path: 'other', started: performance.now(), status: 0, numbers: noNumbers() }
    const scope = new RequestScope(record, c.req.raw.signal, () => {
      scopes.delete(scope)
      metrics.end(record)
      options.onRequest?.({ ...record, path: record.path === 'other' ? path.slice(0, 200) : record.path })
    })
    scopes.add(scope)
    if (signal?.aborted) scope.leave(signal.reason)
    c.set('scope', scope)
    try {
      await next()
      c.header('x-request-id', id)
      // A balancer that keeps connections must not send another request on this one.
      if (state() === 'ending') c.header('connection', 'close')
      record.status = c.res.status
    } finally {
      // A stream ends its request itself.
      if (!record.streamed) scope.end()
    }
  })
  app.onError((error, c) => refused(noteFailure(error, c.get('scope'), context)))
  app.notFound(async (c) => {
    const other = await options.otherwise?.(c.req.raw)
    if (other) return other
    throw notFound(`there is no ${c.req.method} ${c.req.path.slice(0, 200)}`, 'unknown_url')
  })
  const { origins = [] } = options
  if (origins.length > 0)
    app.use(
      cors({
        origin: origins.includes('*') ? '*' : [...origins],
        exposeHeaders: ['x-request-id', 'x-queue-position', 'retry-after'],
      }),
    )

  app.get('/health', (c) => {
    c.get('scope').record.path = '/health'
    if (state() === 'ending') return refused(serverEnding())
    return state() === 'ready' ? c.json({ status: 'ok' }) : refused(overloaded('the model is being loaded', 'loading'))
  })
  // What orchestrators restart a process by: it answers while it loads, and while it ends.
  app.get('/livez', (c) => {
    c.get('scope').record.path = '/livez'
    return c.json({ status: 'ok' })
  })
  // Behind the probes: orchestrators ask by address, and these tell nothing.
  if (options.hosts) app.use(hostCheck(options.hosts))
  app.use(originCheck(origins))
  app.use(async (c, next) => {
    if (options.isKey && !options.isKey(keyOf(c.req.header('authorization'), c.req.header('x-api-key'))))
      throw new ApiError(401, 'invalid_request_error', 'a valid key is needed: Authorization: Bearer KEY', {
        code: 'invalid_api_key',
      })
    await next()
  })
  app.get('/metrics', (c) => {
    c.get('scope').record.path = '/metrics'
    return c.text(metrics.text(registry.statuses), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
  })
  app.get('/openapi.json', (c) => {
    c.get('scope').record.path = '/openapi.json'
    // Its schemas take a while to be made.
    openApi ??= openApiDocument(routes, version)
    return c.json(openApi)
  })
  app.use(async (_, next) => {
    if (state() === 'ending') throw serverEnding()
    await next()
  })
  for (const route of routes) {
    app.on(route.method, route.path, async (c) => {
      const scope = c.get('scope')
      scope.record.path = route.path
      const body = route.body && checked(route.body, await readJson(c.req.raw, limits.bodyBytes, reserveFor(scope)), limits)
      const answer = await route.answer({ body, params: c.req.param(), query: c.req.query(), began }, scope, context)
      return respond(answer, scope, context)
    })
  }
  const methods = new Map<string, string[]>()
  for (const { method, path } of [...routes, ...ownRoutes])
    methods.set(path, [...(methods.get(path) ?? []), method.toUpperCase()])
  for (const [path, allowed] of methods)
    app.all(path, (c) => {
      const error = wrongMethod(c.req.method, c.req.path.slice(0, 200), allowed)
      return refused(noteFailure(error, c.get('scope'), context), { allow: allowed.join(', ') })
    })
  return { fetch: (request) => app.fetch(request), metrics, active: () => scopes.size }
}

function respond(answer: Answer, scope: RequestScope, context: ServerContext): Response {
  if ('json' in answer) return Response.json(answer.json, { headers: answer.headers })
  scope.record.streamed = true
  const failed = (error: unknown) => ({ data: toApiError(error).body })
  async function* held() {
    try {
      yield* (answer as Extract<Answer, { events: unknown }>).events
    } catch (error) {
      // Before the request's end, which logs it.
      noteFailure(error, scope, context)
      throw error
    } finally {
      scope.end()
    }
  }
  const leave = () => {
    scope.leave(new Error('the client is gone'))
    // Where nothing was read, the generator never began.
    scope.end()
  }
  const headers = {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    ...answer.headers,
  }
  return new Response(eventStream(held(), { leave, failed }), { headers })
}

function refused({ status, body, facts }: ApiError, more: Readonly<Record<string, string>> = {}): Response {
  const headers = {
    ...more,
    ...(facts.retryAfter !== undefined && { 'retry-after': String(facts.retryAfter) }),
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
  }
  return Response.json(body, { status, headers })
}

/** A key as OpenAI's clients send it, or as Anthropic's do. */
const keyOf = (authorization: string | undefined, header: string | undefined) =>
  /^Bearer\s+(.+)$/i.exec(authorization ?? '')?.[1] ?? header ?? ''

function checked(schema: z.ZodType, body: unknown, { items }: ServerLimits): unknown {
  // Before the check of each of them, which takes microseconds.
  for (const [param, value] of Object.entries(body ?? {}))
    if (Array.isArray(value) && value.length > items && value.some((each) => typeof each === 'object'))
      throw invalid(`${param.slice(0, 40)}: at most ${items} entries, got ${value.length}`, param.slice(0, 40))
  const result = safeParse(schema, body)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue!.path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
  const param = String(issue!.path[0] ?? '')
  const message = issue!.message.replace(/^Invalid input: (expected .*), received undefined$/, 'it is missing, $1')
  throw invalid(`${path === '' ? 'the body' : path.slice(0, 200)}: ${message.slice(0, 300)}`, param === '' ? undefined : param)
}
