/** Opens a model with all its stream sets. GGUF files are unpacked, and quantised copies made, in the cache. */
import { usageError } from '@parscale/core/internal'
import type { QuantiseSettings } from '@parscale/core/internal/checkpoint'
import { hasStreams } from '@parscale/core/internal/model'
import type { WriteProgress } from '@parscale/core/internal/node/disk'
import {
  type ModelCacheOptions,
  type ModelFolder,
  openModelFolder,
  openModelPath,
  quantisedFolder,
  streamSetFolders,
  verifySameBackbone,
} from '@parscale/core/internal/node/models'
import type { Environment } from '../hub/settings.ts'
import { cacheFolder, resolveModel } from './find-model.ts'

/** How a model is found and opened: bits, further stream sets, environment, callbacks for work in the cache. */
export interface OpenOptions extends Partial<Omit<QuantiseSettings, 'bits'>> {
  /** Weights in so many bits: made once of the model and kept in the cache. Default: as they are stored. */
  readonly bits?: QuantiseSettings['bits'] | undefined
  /** Further stream sets for the same backbone: folders or models, each with another P. */
  readonly streamSets?: readonly string[]
  /** Default: the environment of the process (HF_HOME, PARSCALE_CACHE, ...). */
  readonly env?: Environment
  readonly signal?: AbortSignal
  /** Called while a GGUF file is unpacked for the first time. */
  readonly onUnpack?: (progress: WriteProgress) => void
  /** Called while a model is quantised for the first time. */
  readonly onQuantise?: (progress: WriteProgress) => void
  /** Called where another process is writing into the cache: this one waits for it. */
  readonly onWait?: ModelCacheOptions['onWait']
  /** Called with what was found in the cache. */
  readonly onFound?: ModelCacheOptions['onFound']
}

/** A backbone and its stream sets, open but not loaded. */
export interface OpenModel {
  readonly backbone: ModelFolder
  readonly streamSets: readonly ModelFolder[]
  close(): Promise<void>
}

/** Opens a model with all its stream sets: its own, those in its `streams/` folder, and those named. */
export async function openModel(model: string | undefined, options: OpenOptions = {}): Promise<OpenModel> {
  const open: ModelFolder[] = []
  const close = async () => {
    await Promise.all(open.map((folder) => folder.close()))
  }
  try {
    const backbone = await openBackbone(await resolveModel(model, options.env), options)
    open.push(backbone)
    for (const path of await streamSetPaths(backbone.path, options))
      open.push(await openModelPath(path, cacheOptions(options, options.onUnpack)))
    const streamSets = open.slice(1)
    const seen = new Set(hasStreams(backbone.config) ? [backbone.config.parscale.n] : [])
    for (const { path, config } of streamSets) {
      const { n } = config.parscale
      if (seen.has(n)) throw usageError(`${path}: a stream set with P = ${n} is loaded already; name one per P`, { found: n })
      seen.add(n)
    }
    await verifySameBackbone(backbone, streamSets, options.signal)
    return { backbone, streamSets, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Where the further stream sets of the model at `path` lie: below it, and those that are named. */
export async function streamSetPaths(path: string, { streamSets = [], env }: OpenOptions): Promise<string[]> {
  const named: string[] = []
  for (const name of streamSets) named.push(await resolveModel(name, env))
  return [...(await streamSetFolders(path)), ...named]
}

/** How whatever is made of a model is made in the cache. */
export const cacheOptions = (
  { env, signal, onWait, onFound }: OpenOptions,
  onProgress: ((progress: WriteProgress) => void) | undefined,
) => ({ cacheDirectory: cacheFolder(env), onProgress, onWait, onFound, signal })

async function openBackbone(path: string, options: OpenOptions): Promise<ModelFolder> {
  const { bits, blockSize, onQuantise, onUnpack } = options
  if (bits === undefined) return await openModelPath(path, cacheOptions(options, onUnpack))
  return await openModelFolder(await quantisedFolder(path, { bits, blockSize }, cacheOptions(options, onQuantise)))
}
