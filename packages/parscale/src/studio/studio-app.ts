/** What the page asks beside the API: the machine, runs and their news, a diagnosis, models that were dropped, trainings. */
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { isParscaleError, usageError } from '@parscale/core/internal'
import { diagnose } from '@parscale/core/internal/evaluation'
import { type ModelRegistry, type ModelStatus, readJson, toApiError } from '@parscale/core/internal/server'
import { Hono } from 'hono'
import { z } from 'zod'
import { resolveModel } from '../load/find-model.ts'
import type { LoadOptions } from '../load/load.ts'
import { availableMemoryBytes } from '../load/memory.ts'
import { packageVersion } from '../package-files.ts'
import type { Beside } from '../serve/serve.ts'
import { droppedModels } from './dropped-models.ts'
import { modelFile } from './model-files.ts'
import { page } from './pages.ts'
import { isRunName, RunList, RunReader } from './runs.ts'
import { SweepList } from './sweeps.ts'
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

/** Milliseconds between two looks at the files of runs. */
const lookMs = 700
const leastDiagnosed = 3
const mostDiagnosed = 4096
/** Runs whose curves one page follows. */
const mostFollowed = 8
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
  app.get('/studio/model/*', async (c) => await modelFile(c.req.raw, await pathOf(options.models[0]!.id)))

  const runs = new RunList(options.runs)
  const sweeps = new SweepList(options.runs)
  /** One stream for all that a page shows: a browser gives a host six connections, for all of its pages together. */
  app.get('/studio/runs/events', (c) => {
    const readers = (c.req.queries('run') ?? []).slice(0, mostFollowed).map((name) => ({
      name,
      reader: new RunReader(runPath(options.runs, name)),
    }))
    const about = async () => ({
      folder: options.runs,
      runs: await runs.list(trainings.running),
      sweeps: await sweeps.list(),
      processes: Object.fromEntries(readers.map(({ name }) => [name, trainings.about(name) ?? null])),
    })
    return eventsOf(readers, about, AbortSignal.any([c.req.raw.signal, ended.signal]))
  })
  app.post('/studio/runs', async (c) => {
    const asked = trainingRequest.parse(await readJson(c.req.raw, mostBytes))
    await trainings.start({ ...asked, model: await pathOf(asked.model) })
    return c.json({ name: asked.name })
  })
  app.post('/studio/runs/:name/stop', (c) => {
    trainings.stop(c.req.param('name'))
    return c.json({})
  })

  app.post('/studio/diagnose', async (c) => {
    const { model: id, text, p } = diagnosisRequest.parse(await readJson(c.req.raw, mostBytes))
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

  droppedModels(app, registry, options, paths)
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

/** What is added to runs, and what there is to say about all of them, until the page leaves. */
function eventsOf(
  readers: readonly { readonly name: string; readonly reader: RunReader }[],
  about: () => Promise<object>,
  signal: AbortSignal,
): Response {
  const utf8 = new TextEncoder()
  let last = ''
  let silent = 0
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        if (signal.aborted) return controller.close()
        const all = await Promise.all(readers.map(async ({ name, reader }) => ({ name, ...(await reader.news()) })))
        const news = all.filter(({ reset, records, samples }) => reset || records.length > 0 || samples.length > 0)
        const found = await about()
        const now = JSON.stringify(found)
        if (news.length > 0 || now !== last) {
          last = now
          silent = 0
          return controller.enqueue(utf8.encode(`data: ${JSON.stringify({ ...found, news })}\n\n`))
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

/** Of a run below the folder, or of a sweep's there, which is called SWEEP/RUN. */
function runPath(root: string, name: string): string {
  const parts = name.split('/')
  if (parts.length > 2 || !parts.every(isRunName)) throw usageError(`${JSON.stringify(name.slice(0, 100))} is no name of a run`)
  return parts.length === 1 ? join(root, name) : join(root, parts[0]!, 'runs', parts[1]!)
}
