/** Models in this process for Vercel's AI SDK: `ai` 7, and `ai` 6 with `specification: 'v3'`. No server, no network. A promised subpath: names come and go with major versions only. */
import { anySignal, usageError } from '@parscale/core/internal'
import type { TextModel } from '@parscale/core/internal/generation'
import { createServerApp, ModelRegistry } from '@parscale/core/internal/server'
import { type ChatAnswer, type ChatChunk, generateResult, streamParts } from './answer.ts'
import { ask, askStream, inWordsOfLibrary } from './call.ts'
import { chatRequest, providerFields } from './request.ts'
import type { EmbeddingModel, LanguageModel, Specification, StreamPart, Warning } from './types.ts'

/** Models by name, as functions of `ai` take them. The name may say P: `parscale('chat:p4')`. */
export interface ParscaleProvider<V extends Specification = 'v4'> {
  /** Without a name: the first model. */
  (name?: string): LanguageModel<V>
  readonly specificationVersion: V
  languageModel(name?: string): LanguageModel<V>
  /** Hidden states behind the final norm, of unit length. */
  embeddingModel(name?: string): EmbeddingModel<V>
  /** @throws usage error: there are none */
  imageModel(name: string): never
}

const provider = 'parscale'
/** Texts of one call; more are sent by further calls. */
const maxEmbeddingsPerCall = 512

/**
 * Loaded models as a provider of the AI SDK. Prompts, tools, grammars and stop strings are those of `parscale serve`. The models stay the
 * caller's: `dispose` them.
 *
 * @param models one, called `parscale`, or several by name
 * @param options.specification `v4` for `ai` 7 (default), `v3` for `ai` 6, which knows no later one
 */
export function createParscale<V extends Specification = 'v4'>(
  models: TextModel | Readonly<Record<string, TextModel>>,
  options: { readonly specification?: V } = {},
): ParscaleProvider<V> {
  // A default that the type parameter has as well.
  const specificationVersion = (options.specification ?? 'v4') as V
  const named = isModel(models) ? { [provider]: models } : models
  const [first] = Object.keys(named)
  if (first === undefined) throw usageError('createParscale: there is no model')
  const registry = new ModelRegistry(Object.entries(named).map(([id, text]) => ({ id, load: async () => text })))
  // Requests of this process wait for each other, however many.
  const app = createServerApp({ registry, limits: { queue: Infinity } })
  const about = (modelId: string) => {
    inWordsOfLibrary(() => registry.find(modelId))
    return { specificationVersion, provider, modelId }
  }
  const reasons = async (name: string) => {
    const { model, release } = await registry.acquire(registry.find(name).id)
    release()
    return model.form.reasoning !== undefined
  }

  const languageModel = (name = first): LanguageModel<V> => ({
    ...about(name),
    supportedUrls: {},
    async doGenerate(options) {
      const { request, warnings } = chatRequest(name, options, await reasons(name))
      const answer = await ask<ChatAnswer>(app, '/v1/chat/completions', request, options.abortSignal)
      return generateResult(answer, request, warnings)
    },
    async doStream(options) {
      const { request, warnings } = chatRequest(name, options, await reasons(name))
      const left = new AbortController()
      const signal = anySignal(left.signal, options.abortSignal)
      const chunks = await askStream<ChatChunk>(app, '/v1/chat/completions', request, signal)
      const parts = streamParts(chunks, { warnings, raw: options.includeRawChunks ?? false })
      return { stream: readable(parts, () => left.abort()), request: { body: request } }
    },
  })
  const embeddingModel = (name = first): EmbeddingModel<V> => ({
    ...about(name),
    maxEmbeddingsPerCall,
    supportsParallelCalls: true,
    async doEmbed({ values, dimensions, providerOptions, abortSignal }) {
      const warnings: Warning[] = []
      const request = { model: name, input: values, dimensions, ...providerFields(providerOptions, warnings) }
      const { data, usage, parscale } = await ask<Embeddings>(app, '/v1/embeddings', request, abortSignal)
      return {
        embeddings: data.map(({ embedding }) => embedding),
        usage: { tokens: usage.prompt_tokens },
        providerMetadata: { parscale },
        warnings,
      }
    },
  })
  return Object.assign(languageModel, {
    ...{ specificationVersion, languageModel, embeddingModel },
    imageModel(name: string): never {
      throw usageError(`${name}: models of parscale write texts, no images`)
    },
  })
}

/** What we read of an answer of /v1/embeddings. */
interface Embeddings {
  readonly data: readonly { readonly embedding: number[] }[]
  readonly usage: { readonly prompt_tokens: number }
  readonly parscale: { readonly p: number }
}

const isModel = (models: TextModel | Readonly<Record<string, TextModel>>): models is TextModel => 'scheduler' in models

/** Made at the reader's pace; leaving it ends the generation, in the middle of a step too. */
function readable(parts: AsyncGenerator<StreamPart>, leave: () => void): ReadableStream<StreamPart> {
  return new ReadableStream<StreamPart>(
    {
      async pull(controller) {
        const { done, value } = await parts.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  )
}
