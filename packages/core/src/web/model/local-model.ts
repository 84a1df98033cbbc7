/** A model in the thread that calls: what the worker runs, and what `loadInBrowser` gives inside of one. */
import type { WeightSettings } from '../../checkpoint/index.ts'
import { checkpointError, runtimeError, usageError } from '../../errors.ts'
import { type ModelFiles, modelFiles, openText, type TextChunk, type TextModel, type TextResult } from '../../generation/index.ts'
import { backboneParameters, elementCount } from '../../model/index.ts'
import { createServerApp, ModelRegistry, type ServerApp } from '../../server/index.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'
import { overlongError } from '../../tokenizer/overlong.ts'
import { messageOf } from '../engine/builds.ts'
import { gpuLost } from '../engine/onnx-runtime.ts'
import { release, type StartedModel, startEarly, startModel } from '../engine/start.ts'
import { keptVerdict } from '../kept/verdict.ts'
import type { BrowserLoadOptions, BrowserMemory, BrowserModel, BrowserModelInfo, BrowserTextOptions } from '../types.ts'
import { type OpenedBlobs, openBlobs } from './open.ts'
import { type ReadModel, readSource } from './read-source.ts'

/** @throws as loadInBrowser */
export async function loadHere(options: BrowserLoadOptions): Promise<BrowserModel> {
  const settings = settingsOf(options)
  const { device = 'auto', stepFiles } = options
  void startEarly({ device, stepFiles: folderUrl(stepFiles) })
  const read = await readSource(options, settings)
  const opened = await openBlobs(read.name, read.blobs, read.gguf, settings, options.signal)
  const files = await modelFiles(opened.backbone, opened.streamSets)
  const model = new LocalModel(options, read, opened, files)
  await model.start(device)
  return model
}

function settingsOf({ bits }: BrowserLoadOptions): WeightSettings | undefined {
  if (bits === undefined) return undefined
  if (bits === 8 || bits === 4) return { bits }
  throw usageError(`bits: expected 8 or 4, got ${bits}`, { flag: 'bits', found: bits })
}

/** A model on one backend. */
interface Running extends StartedModel {
  readonly text: TextModel
  readonly app: ServerApp
}

class LocalModel implements BrowserModel {
  readonly #options: BrowserLoadOptions
  readonly #read: ReadModel
  readonly #opened: OpenedBlobs
  readonly #files: ModelFiles
  #running: Running | undefined
  /** Settles when another backend has taken over. */
  #replacing: Promise<void> | undefined
  #notes: readonly string[]
  /** Why nothing runs any more. */
  #failure: string | undefined
  #disposed = false

  constructor(options: BrowserLoadOptions, read: ReadModel, opened: OpenedBlobs, files: ModelFiles) {
    this.#options = options
    this.#read = read
    this.#opened = opened
    this.#files = files
    this.#notes = read.notes
  }

  /** @param lost why another backend has to take over; who aborts the loading does not abort that */
  async start(device: 'auto' | 'webgpu' | 'wasm', lost?: string): Promise<void> {
    const { onProgress, threads, runtimeFiles, stepFiles, kv, bits } = this.#options
    const { key } = this.#read
    const signal = lost === undefined ? this.#options.signal : undefined
    let done = 0
    let started: StartedModel | undefined
    const begin = async () => {
      started = await startModel(this.#files, this.#opened.backbone, {
        ...{ device, threads, kv, bits, signal, blob: this.#opened.blob },
        verdict: key === undefined ? undefined : keptVerdict(key),
        ...{ runtimeFiles: folderUrl(runtimeFiles), stepFiles: folderUrl(stepFiles) },
        onBytes: (bytes) => {
          done += bytes
          onProgress?.({ stage: 'load', done })
        },
        onTest: () => onProgress?.({ stage: 'test' }),
      })
      return started.model
    }
    const text = await openText(this.#opened.backbone, begin)
    const { facts, runtime } = started!
    const registry = new ModelRegistry([{ id: modelId(this.#read.name), load: async () => text, pinned: true }])
    const running = { ...started!, text, app: createServerApp({ registry }) }
    if (lost !== undefined) running.facts = { ...facts, why: `WASM runs, as the GPU was lost (${lost}).` }
    this.#notes = [...this.#notes, ...facts.notes]
    this.#running = running
    runtime.lost.then((reason) => this.#replace(running, reason))
  }

  get info(): BrowserModelInfo {
    const { text, facts } = this.#mustRun()
    const { model } = text
    const { config } = model
    const { weightBytes, totalBytes } = this.#read.estimate
    return {
      ...facts,
      notes: this.#notes,
      name: modelId(this.#read.name),
      ...(this.#read.key !== undefined && { kept: this.#read.key }),
      ...{ availableP: model.availableP, defaultP: model.defaultP, weights: model.weights, vocabSize: config.vocabSize },
      contextTokens: config.maxPositionEmbeddings,
      parameters: backboneParameters(config, this.#files.tied).reduce((sum, { shape }) => sum + elementCount(shape), 0),
      hasChatTemplate: text.chatTemplate !== undefined,
      estimate: { weightBytes, totalBytes },
    }
  }

  async *stream(
    prompt: string | readonly ChatMessage[],
    options: BrowserTextOptions = {},
  ): AsyncGenerator<TextChunk, TextResult> {
    const given = new Given()
    for (;;) {
      await this.#replacing
      const running = this.#mustRun()
      try {
        return yield* given.rest(continueText(running.text, prompt, options))
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!(await this.#wasLost(running))) throw error
      }
    }
  }

  async generate(prompt: string | readonly ChatMessage[], options: BrowserTextOptions = {}): Promise<TextResult> {
    const stream = this.stream(prompt, options)
    for (;;) {
      const { done, value } = await stream.next()
      if (done) return value
    }
  }

  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    await this.#replacing
    const { app } = this.#mustRun()
    const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, 'http://page/'), init)
    return await app.fetch(request)
  }

  async memory(): Promise<BrowserMemory> {
    const { text, weightBytes } = this.#mustRun()
    return { cacheBytes: text.engine.cacheMemoryBytes, weightBytes, positionBytes: text.engine.positionBytes }
  }

  async dispose(): Promise<void> {
    this.#disposed = true
    await this.#replacing
    const running = this.#running
    this.#running = undefined
    if (!running) return
    // Waits for the step under way.
    await running.text.dispose()
    await release(undefined, running.runtime)
  }

  #mustRun(): Running {
    if (this.#running) return this.#running
    throw runtimeError(this.#failure ?? 'the model is disposed of; load it again')
  }

  /** The GPU is gone, and everything on it: the weights are read again, for WASM. */
  #replace(lost: Running, reason: string): void {
    if (this.#disposed || this.#running !== lost) return
    this.#replacing = (async () => {
      release(lost.model, lost.runtime)
      await this.start('wasm', reason)
      this.#notes = [...this.#notes, `The GPU was lost (${reason}); WASM took over.`]
      this.#options.onInfo?.(this.info)
    })()
      .catch((error) => {
        this.#running = undefined
        this.#failure = `The GPU was lost (${reason}), and WASM could not take over: ${messageOf(error)}`
      })
      .finally(() => {
        this.#replacing = undefined
      })
  }

  /** An error may come before the news of the loss does. */
  async #wasLost(running: Running): Promise<boolean> {
    if (running.runtime.device === 'cpu' || this.#disposed) return false
    if (this.#running === running) await Promise.race([running.runtime.lost, new Promise((resolve) => setTimeout(resolve, 500))])
    await this.#replacing
    return this.#running !== undefined && this.#running !== running
  }
}

/** What a reader has got of a text. When it is begun anew elsewhere, that is left out, as long as the same tokens come. */
class Given {
  #text = ''
  readonly #ids: number[] = []

  async *rest(stream: AsyncGenerator<TextChunk, TextResult>): AsyncGenerator<TextChunk, TextResult> {
    let text = ''
    let at = 0
    try {
      for (;;) {
        const { done, value } = await stream.next()
        if (done) return value
        const before = this.#ids.length
        const fresh: TextChunk['tokens'][number][] = []
        for (const token of value.tokens) {
          if (at >= before) {
            this.#ids.push(token.id)
            fresh.push(token)
          } else if (this.#ids[at] !== token.id) throw gpuLost('another backend goes on with other tokens')
          at++
        }
        text += value.text
        const more = text.slice(this.#text.length)
        if (text.length > this.#text.length) this.#text = text
        if (more.length > 0 || fresh.length > 0) yield { text: more, tokens: fresh }
      }
    } finally {
      await stream.return?.(undefined as never)
    }
  }
}

const overlong = { what: 'the conversation', advice: 'shorten the message or begin a new conversation' }

async function* continueText(
  text: TextModel,
  prompt: string | readonly ChatMessage[],
  options: BrowserTextOptions,
): AsyncGenerator<TextChunk, TextResult> {
  if (typeof prompt === 'string') return yield* text.stream(prompt, options)
  const { chatTemplate, model } = text
  if (!chatTemplate) throw checkpointError('this model has no chat template; give a prompt as text')
  const { allowSpecial, signal } = options
  const context = model.config.maxPositionEmbeddings
  const ids = await chatTemplate.encodeLong(prompt, { addGenerationPrompt: true, allowSpecial, signal, context, overlong })
  if (ids.length > context) throw overlongError(overlong, ids.length, context)
  return yield* text.streamIds(ids, options)
}

/** The last part of a path or URL, or ORG/NAME. */
const modelId = (name: string): string => {
  if (!name.includes('://')) return name
  const parts = new URL(name).pathname.split('/').filter(Boolean)
  return parts.at(-1) ?? name
}

const folderUrl = (url: string | URL | undefined): string | undefined => {
  if (url === undefined) return undefined
  const { href } = new URL(url, globalThis.location?.href)
  return href.endsWith('/') ? href : `${href}/`
}
