/** What the page asks beside the API: the machine, runs and their news, a diagnosis, models that were dropped, trainings. */
import { readdir } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { isParscaleError, usageError } from '@parscale/core/internal'
import { diagnose } from '@parscale/core/internal/evaluation'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { type ModelRegistry, type ModelStatus, toApiError } from '@parscale/core/internal/server'
import { Hono } from 'hono'
import { z } from 'zod'
import { resolveModel } from '../load/find-model.ts'
import { type LoadOptions, loadTextModel } from '../load/load.ts'
import { availableMemoryBytes } from '../load/memory.ts'
import { packageVersion } from '../package-files.ts'
import type { Beside } from '../serve/serve.ts'
import { type ModelFilesHere, modelFiles } from './model-files.ts'
import { page } from './pages.ts'
import { isRunName, listRuns, RunReader } from './runs.ts'
import { Trainings } from './trainings.ts'

export interface StudioOptions {
  /** Models of the command line, by name. */
  readonly models: readonly { readonly id: string; readonly model: string | undefined }[]
  readonly load: LoadOptions
  /** Folder of training runs. */
  readonly runs: string
  /** Folder for models that are dropped onto the page. */
  readonly dropped: string
  readonly env: NodeJS.ProcessEnv
}

/** Milliseconds between two looks at a run's files. */
const lookMs = 700
const leastDiagnosed = 3
const mostDiagnosed = 4096
/** Of what a page may send at once, but for models. */
const mostBytes = 16 * 2 ** 20

const trainingRequest = z.object({
  name: z.string(),
  model: z.string(),
  text: z.string(),
  p: z.int().min(2).max(64),
  steps: z.int().min(1).max(100_000),
})
const diagnosisRequest = z.object({ model: z.string(), text: z.string(), p: z.int().min(2).nullish() })

/** Endpoints below /studio/, and the page. */
export function studioBeside(registry: ModelRegistry, options: StudioOptions): Beside {
  const trainings = new Trainings(options.runs, options.env)
  const ended = new AbortController()
  const paths = new Map(options.models.map(({ id, model }) => [id, model]))
  const pathOf = async (id: string) => await resolveModel(paths.get(id), options.env)
  const app = new Hono()

  app.get('/studio/info.json', (c) => c.json(info(registry, options)))
  app.get('/studio/now', (c) =>
    c.json({
      rssBytes: process.memoryUsage.rss(),
      freeBytes: availableMemoryBytes(),
      models: registry.statuses.map(({ id, state, loaded }) => ({
        id,
        state,
        cacheBytes: loaded?.text.scheduler.counters.cacheBytes ?? 0,
        rows: loaded?.text.scheduler.counters.rows ?? 0,
      })),
    }),
  )
  /** The first model's files, for the runtime in the page. */
  app.get('/studio/model/*', async (c) => {
    const files = modelFiles(await pathOf(options.models[0]!.id))
    const path = decoded(c.req.path.slice('/studio/model/'.length))
    const list = await files.list()
    if (path === 'files.json') return c.json(list)
    const file = list.find((each) => each.path === path)
    return file ? ranged(files, file, c.req.header('range')) : c.notFound()
  })

  app.get('/studio/runs', async (c) => c.json({ folder: options.runs, runs: await listRuns(options.runs, trainings.running) }))
  app.get('/studio/runs/:name/events', async (c) => {
    const path = runPath(options.runs, c.req.param('name'))
    const name = basename(path)
    const state = async () => {
      const runs = await listRuns(options.runs, trainings.running)
      return { run: runs.find((run) => run.name === name) ?? null, process: trainings.about(name) ?? null }
    }
    return eventsOf(path, state, AbortSignal.any([c.req.raw.signal, ended.signal]))
  })
  app.post('/studio/runs', async (c) => {
    const asked = trainingRequest.parse(await body(c.req.raw))
    await trainings.start({ ...asked, model: await pathOf(asked.model) })
    return c.json({ name: asked.name })
  })
  app.post('/studio/runs/:name/stop', (c) => {
    trainings.stop(c.req.param('name'))
    return c.json({})
  })

  app.post('/studio/diagnose', async (c) => {
    const { model: id, text, p } = diagnosisRequest.parse(await body(c.req.raw))
    const { model, release } = await registry.acquire(registry.find(id).id)
    try {
      const all = await model.text.tokenizer.encodeLong(text, { signal: c.req.raw.signal })
      const ids = all.slice(0, mostDiagnosed)
      if (ids.length < leastDiagnosed)
        throw usageError(`the text has ${ids.length} tokens; a diagnosis needs at least ${leastDiagnosed}`)
      const found = await diagnose(model.text.scheduler, ids, { p: p ?? undefined, signal: c.req.raw.signal })
      return c.json({ ...found, cut: all.length > ids.length ? all.length : null })
    } finally {
      release()
    }
  })

  /** Files of a model, one after the other, then `load`. */
  app.put('/studio/models/:name/:file', async (c) => {
    const { name, file } = { name: safeName(c.req.param('name')), file: safeName(c.req.param('file')) }
    const bytes = Number(c.req.header('content-length') ?? 0)
    if (bytes > totalmem())
      throw usageError(`${file} has ${gigabytes(bytes)}, and this machine ${gigabytes(totalmem())} of memory: it does not fit`)
    const content = c.req.raw.body
    if (!content) throw usageError(`${file} is empty`)
    await writeWholeFile(join(options.dropped, name, file), async (sink) => {
      for await (const part of content) await sink.write(part)
    })
    return c.json({})
  })
  app.post('/studio/models/:name/load', async (c) => {
    const name = safeName(c.req.param('name'))
    const folder = join(options.dropped, name)
    const files: string[] = await readdir(folder).catch(() => [])
    const gguf = files.find((file) => /\.gguf$/i.test(file))
    const path = gguf === undefined ? folder : join(folder, gguf)
    let id = name
    for (let i = 2; registry.statuses.some((status) => status.id === id); i++) id = `${name}-${i}`
    // Before it stands among the models: one that cannot be loaded is none.
    const text = await loadTextModel(path, options.load)
    let first: typeof text | undefined = text
    registry.add({
      id,
      load: async () => {
        const taken = first ?? (await loadTextModel(path, options.load))
        first = undefined
        return taken
      },
    })
    paths.set(id, path)
    await registry.load(id)
    return c.json({ id })
  })
  app.onError((error, c) => {
    const message =
      error instanceof z.ZodError ? `the request: ${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}` : undefined
    if (message !== undefined) return c.json({ error: { message } }, 400)
    // A file that is no model is the reader's mistake, where the server's own model would be a fault.
    if (isParscaleError(error) && (error.kind === 'checkpoint' || error.kind === 'unsupported'))
      return c.json({ error: { message: error.message } }, 400)
    const { status, body } = toApiError(error)
    return Response.json(body, { status })
  })
  app.notFound(() => new Response(null, { status: 404 }))

  return {
    page,
    answer: async (request) => {
      if (!new URL(request.url).pathname.startsWith('/studio/')) return undefined
      const response = await app.fetch(request)
      return response.status === 404 && response.body === null ? undefined : response
    },
    close: () => {
      ended.abort()
      trainings.close()
    },
  }
}

/** What the page knows from the start. */
export function info(registry: ModelRegistry, { models, runs }: Pick<StudioOptions, 'models' | 'runs'>) {
  const [cpu] = cpus()
  return {
    static: false,
    version: packageVersion(),
    machine: {
      cpu: cpu?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      freeBytes: availableMemoryBytes(),
      platform: `${process.platform} ${process.arch}`,
      node: process.version,
    },
    runs,
    models: registry.statuses.map((status) => modelInfo(status, models.find(({ id }) => id === status.id)?.model)),
  }
}

function modelInfo({ id, state, problem, loaded }: ModelStatus, path: string | undefined) {
  const about = { id, state, problem: problem ?? null, path: path ?? null }
  if (!loaded) return { ...about, p: [], chat: false }
  const { model, chatTemplate, tokenizer } = loaded.text
  const { config } = model
  return {
    ...about,
    p: model.availableP,
    chat: chatTemplate !== undefined,
    weights: model.weights,
    context: config.maxPositionEmbeddings,
    family: config.modelType,
    hidden: config.hiddenSize,
    layers: config.numHiddenLayers,
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    vocabulary: config.vocabSize,
    tokens: tokenizer.vocabSize ?? config.vocabSize,
    bytesPerPosition: loaded.text.engine.positionBytes,
  }
}

/** News of a run until the page leaves. */
function eventsOf(path: string, state: () => Promise<unknown>, signal: AbortSignal): Response {
  const reader = new RunReader(path)
  const utf8 = new TextEncoder()
  let last = ''
  let silent = 0
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        if (signal.aborted) return controller.close()
        const news = await reader.news()
        const about = JSON.stringify(await state())
        if (news.reset || news.records.length > 0 || news.samples.length > 0 || about !== last) {
          last = about
          silent = 0
          return controller.enqueue(utf8.encode(`data: ${JSON.stringify({ ...news, ...JSON.parse(about) })}\n\n`))
        }
        // So that a connection that is gone is found.
        silent += lookMs
        if (silent > 10_000) {
          silent = 0
          return controller.enqueue(utf8.encode(': still here\n\n'))
        }
        await pause(lookMs, signal)
      }
    },
  })
  return new Response(stream, { headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' } })
}

/** Ends early where the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}

function runPath(root: string, name: string): string {
  if (!isRunName(name)) throw usageError(`${JSON.stringify(name.slice(0, 100))} is no name of a run`)
  return join(root, name)
}

function safeName(name: string): string {
  const safe = name.replace(/[^\w.-]/g, '_')
  if (!/^[\w][\w.-]{0,199}$/.test(safe) || safe.includes('..'))
    throw usageError(`${JSON.stringify(name.slice(0, 100))} is no name of a file`)
  return safe
}

async function body(request: Request): Promise<unknown> {
  if (Number(request.headers.get('content-length') ?? 0) > mostBytes)
    throw usageError(`at most ${mostBytes / 2 ** 20} MB of text can be sent at once`)
  if (!request.headers.get('content-type')?.startsWith('application/json'))
    throw usageError('the body should be application/json')
  try {
    return await request.json()
  } catch (cause) {
    throw usageError('the body is no JSON', { cause })
  }
}

/** Undefined for what is no text behind its percent signs. */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

function ranged(files: ModelFilesHere, { path, size }: { path: string; size: number }, range: string | undefined): Response {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  const headers = {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'cross-origin-resource-policy': 'same-origin',
  }
  if (from === undefined)
    return new Response(files.read(path, 0, size), { headers: { ...headers, 'content-length': String(size) } })
  const end = Math.min(size - 1, to ? Number(to) : Infinity)
  if (Number(from) > end) return new Response(null, { status: 416, headers: { 'content-range': `bytes */${size}` } })
  return new Response(files.read(path, Number(from), end + 1), {
    status: 206,
    headers: {
      ...headers,
      'content-length': String(end + 1 - Number(from)),
      'content-range': `bytes ${from}-${end}/${size}`,
    },
  })
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
