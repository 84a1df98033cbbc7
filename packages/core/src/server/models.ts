/** The models of a server: loaded when they are asked for, unloaded by name or when nobody has used them for a while. */
import type { TextModel } from '../generation/index.ts'
import { unlessAborted } from '../signals.ts'
import { ApiError, notFound, queueFull, serverEnding, toApiError } from './errors.ts'
import { type OutputForm, outputForm } from './output/form.ts'

/** A model by name, and how it is loaded. */
export interface ModelSpec {
  readonly id: string
  /** Checks memory first. @throws resource error where there is too little */
  readonly load: () => Promise<TextModel>
  /** Stays however idle it is. */
  readonly pinned?: boolean
}

/** `failed`: the last attempt to load it failed; the next request tries again. */
export type ModelState = 'unloaded' | 'loading' | 'ready' | 'unloading' | 'failed'

/** A model that is loaded, while somebody uses it. */
export interface LoadedModel {
  readonly id: string
  readonly text: TextModel
  readonly form: OutputForm
  /** Texts of the requests that are in the server. */
  texts: number
  /** Requests with texts that have not had a step yet. */
  queued: number
  /** Milliseconds from a text's first step to its end, of late; 0: none has ended. */
  serviceMs: number
}

interface Entry {
  readonly spec: ModelSpec
  state: ModelState
  /** Why it is `failed`. */
  problem: string | undefined
  loaded: LoadedModel | undefined
  loading: Promise<LoadedModel> | undefined
  unloading: Promise<void> | undefined
  users: number
  /** Of these, those that wait for it to be loaded. */
  waiting: number
  /** Milliseconds since the epoch. */
  lastUsed: number
  timer: ReturnType<typeof setTimeout> | undefined
}

export interface ModelStatus {
  readonly id: string
  readonly state: ModelState
  /** Why it is `failed`. */
  readonly problem: string | undefined
  readonly pinned: boolean
  readonly users: number
  /** Of these, those that wait for it to be loaded. */
  readonly waiting: number
  readonly lastUsed: number
  readonly loaded: LoadedModel | undefined
}

const entryOf = (spec: ModelSpec): Entry => ({
  spec,
  state: 'unloaded',
  users: 0,
  waiting: 0,
  lastUsed: 0,
  ...{ problem: undefined, loaded: undefined, loading: undefined, unloading: undefined, timer: undefined },
})

/** The models that an app answers with, by name: loaded on demand, unloaded when idle. Call `close` to free them. */
export class ModelRegistry {
  readonly #entries: Map<string, Entry>
  readonly #idleMs: number
  /** Settled when no model is being loaded. */
  #loads: Promise<unknown> = Promise.resolve()
  #closed = false

  /**
   * @param specs the first is the one that is taken where a request names none
   * @param options.idleMs unloads what nobody has used for so long. Default: never
   */
  constructor(specs: readonly ModelSpec[], options: { idleMs?: number } = {}) {
    this.#idleMs = options.idleMs ?? Infinity
    this.#entries = new Map(specs.map((spec) => [spec.id, entryOf(spec)]))
  }

  /** A further model, loaded when it is asked for. @throws conflict where there is one of this name */
  add(spec: ModelSpec): void {
    if (this.#entries.has(spec.id))
      throw new ApiError(409, 'invalid_request_error', `there is a model ${spec.id} already`, {
        code: 'model_exists',
        param: 'model',
      })
    this.#entries.set(spec.id, entryOf(spec))
  }

  get statuses(): ModelStatus[] {
    return [...this.#entries.values()].map(({ spec, state, problem, users, waiting, lastUsed, loaded }) => ({
      ...{ id: spec.id, state, problem, pinned: spec.pinned ?? false, users, waiting, lastUsed, loaded },
    }))
  }

  /** The name without what says P. @throws not found */
  find(name: string | undefined): { id: string; p: number | 'auto' | undefined } {
    if (name === undefined) return { id: [...this.#entries.keys()][0]!, p: undefined }
    if (this.#entries.has(name)) return { id: name, p: undefined }
    const [, id, p] = /^(.+):(?:p(\d{1,4})|auto)$/.exec(name) ?? []
    if (id !== undefined && this.#entries.has(id)) return { id, p: p === undefined ? 'auto' : Number(p) }
    throw notFound(
      `there is no model ${JSON.stringify(name)}; there are ${[...this.#entries.keys()].join(', ')}`,
      'model_not_found',
      'model',
    )
  }

  /**
   * Loads the model where it is not, and keeps it until `release` is called.
   *
   * @param wait.signal aborted: waits no longer. What is being loaded comes in all the same
   * @param wait.most so many may wait for it to be loaded. Default: no limit
   * @throws overloaded where as many wait, the signal's reason, and what keeps it from being loaded
   */
  async acquire(
    id: string,
    { signal, most = Infinity }: { signal?: AbortSignal; most?: number } = {},
  ): Promise<{ model: LoadedModel; release(): void }> {
    const entry = this.#entry(id)
    const waits = !entry.loaded
    if (waits && entry.waiting > 0 && entry.waiting >= most) throw queueFull(entry.waiting, most)
    entry.users++
    if (waits) entry.waiting++
    clearTimeout(entry.timer)
    let released = false
    const release = () => {
      if (released) return
      released = true
      entry.users--
      this.#touch(entry)
    }
    try {
      return { model: entry.loaded ?? (await unlessAborted(this.#load(entry), signal)), release }
    } catch (error) {
      release()
      throw error
    } finally {
      if (waits) entry.waiting--
    }
  }

  /** @param wait as of `acquire` */
  async load(id: string, wait: { signal?: AbortSignal; most?: number } = {}): Promise<void> {
    ;(await this.acquire(id, wait)).release()
  }

  /**
   * Frees a model's memory. What is being loaded for nobody any more is freed when it is there: loading cannot be broken off.
   *
   * @throws conflict while requests use it
   */
  async unload(id: string): Promise<void> {
    const entry = this.#entry(id)
    // Until it is there somebody may come for it.
    while (entry.users === 0 && entry.loading) await entry.loading.catch(() => {})
    if (entry.users > 0)
      throw new ApiError(
        409,
        'invalid_request_error',
        `${id} is in use by ${entry.users} requests; try again when they are done`,
        {
          code: 'model_in_use',
          param: 'model',
        },
      )
    const { loaded } = entry
    if (!loaded) return entry.unloading
    clearTimeout(entry.timer)
    entry.loaded = undefined
    entry.state = 'unloading'
    entry.unloading = loaded.text.dispose().finally(() => {
      entry.unloading = undefined
      // Who came meanwhile has it loaded again.
      if (entry.state === 'unloading') entry.state = 'unloaded'
    })
    await entry.unloading
  }

  /** Frees everything, whoever uses it. */
  async close(): Promise<void> {
    this.#closed = true
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.timer)
      const loaded = entry.loaded ?? (await entry.loading?.catch(() => undefined))
      entry.loaded = undefined
      entry.state = 'unloaded'
      await loaded?.text.dispose()
      await entry.unloading
    }
  }

  #entry(id: string): Entry {
    return this.#entries.get(id)!
  }

  async #load(entry: Entry): Promise<LoadedModel> {
    if (entry.loaded) return entry.loaded
    entry.loading ??= this.#start(entry).finally(() => {
      entry.loading = undefined
    })
    return await entry.loading
  }

  /** One after the other: each checks the memory that those before it have left. */
  #start(entry: Entry): Promise<LoadedModel> {
    entry.state = 'loading'
    const load = async () => {
      await entry.unloading
      if (this.#closed) throw serverEnding()
      const text = await entry.spec.load()
      return { id: entry.spec.id, text, form: outputForm(text), texts: 0, queued: 0, serviceMs: 0 }
    }
    const loaded = this.#loads.then(load).then(
      (model) => {
        entry.problem = undefined
        entry.loaded = model
        entry.state = 'ready'
        // All that asked for it may be gone, and then nobody releases it.
        if (entry.users === 0) this.#touch(entry)
        return model
      },
      (error) => {
        entry.problem = toApiError(error).message
        entry.state = 'failed'
        throw error
      },
    )
    this.#loads = loaded.catch(() => {})
    return loaded
  }

  #touch(entry: Entry): void {
    entry.lastUsed = Date.now()
    clearTimeout(entry.timer)
    // What is being loaded is idle from when it is there on.
    if (!entry.loaded || entry.users > 0 || entry.spec.pinned || this.#idleMs === Infinity) return
    entry.timer = setTimeout(() => {
      if (entry.users === 0) this.unload(entry.spec.id).catch(() => {})
    }, this.#idleMs)
    // In Node a timer keeps the process, which has nothing to wait for here; in a page it is a number.
    const timer: unknown = entry.timer
    if (typeof timer === 'object' && timer !== null && 'unref' in timer && typeof timer.unref === 'function') timer.unref()
  }
}
