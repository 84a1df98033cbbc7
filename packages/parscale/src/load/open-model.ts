/** Opens a model with all its stream sets: as it lies on the disk, by way of a folder in the cache, or made while it is read. */
import { usageError } from '@parscale/core/internal'
import { hasStreams } from '@parscale/core/internal/model'
import type { WriteProgress } from '@parscale/core/internal/node/disk'
import {
  ggufFolder,
  type ModelCacheOptions,
  type ModelFolder,
  openModelFolder,
  openModelPath,
  openStreamed,
  planQuantisation,
  quantisedFolder,
  streamSetFolders,
  verifySameBackbone,
} from '@parscale/core/internal/node/models'
import type { Environment } from '../hub/settings.ts'
import type { Fetching } from '../storage/address.ts'
import { cacheFolder, resolveModel } from './find-model.ts'
import { type Precision, type PrecisionOptions, precisionOf, requireFloats } from './precision.ts'

/** How a model is found and opened: bits, further stream sets, environment, callbacks for work in the cache. */
export interface OpenOptions extends PrecisionOptions {
  /** Further stream sets for the same backbone: folders or models, each with another P; one takes the place of the model's own with its P. */
  readonly streamSets?: readonly string[]
  /** Default: the environment of the process (HF_HOME, PARSCALE_CACHE, ...). */
  readonly env?: Environment
  readonly signal?: AbortSignal
  /** Called while a model of storage (s3://) is fetched. */
  readonly onDownload?: Fetching['onDownload']
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

/** Opens a model with all its stream sets in files that an engine can map: its own, those in its `streams/` folder, and those named. */
export async function openModel(model: string | undefined, options: OpenOptions = {}): Promise<OpenModel> {
  const path = await resolveModel(model, options.env, options)
  return await closedOnError(async (open) => {
    const backbone = await openModelFolder(await backboneFolder(path, await precisionOf(path, options), options))
    open.push(backbone)
    requireFloats(backbone, options)
    const openSets = async (paths: readonly string[]) => {
      const sets: ModelFolder[] = []
      for (const set of paths) {
        const opened = await openSet(set, options)
        open.push(opened)
        sets.push(opened)
      }
      return sets
    }
    const own = await openSets(await streamSetFolders(backbone.path))
    const streamSets = oneSetPerP(backbone, own, await openSets(await namedSets(options)))
    await verifySameBackbone(backbone, streamSets, options.signal)
    return { backbone, streamSets }
  })
}

/**
 * The same for who reads weights once: what has to be decoded or rounded is while it is read, and nothing is written.
 * Undefined where nothing has to be.
 */
export async function openModelStreamed(model: string | undefined, options: OpenOptions = {}): Promise<OpenModel | undefined> {
  const path = await resolveModel(model, options.env, options)
  const precision = await precisionOf(path, options)
  if (precision === 'asItIs') return undefined
  return await closedOnError(async (open) => {
    const streamed = await openStreamed(path, precision === 'floats' ? undefined : precision)
    open.push(streamed.backbone, ...streamed.streamSets)
    for (const set of await namedSets(options)) open.push(await openSet(set, options))
    const named = open.slice(1 + streamed.streamSets.length)
    const streamSets = oneSetPerP(streamed.backbone, streamed.streamSets, named)
    await streamed.verify(streamSets, { cacheDirectory: cacheFolder(options.env), signal: options.signal })
    return { backbone: streamed.backbone, streamSets }
  })
}

async function closedOnError(work: (open: ModelFolder[]) => Promise<Omit<OpenModel, 'close'>>): Promise<OpenModel> {
  const open: ModelFolder[] = []
  const close = async () => {
    await Promise.all(open.map((folder) => folder.close()))
  }
  try {
    return { ...(await work(open)), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A set that is named takes the place of the one with its P that lies in the model's folder or in its own file (setsOf): it was trained to be tried. */
function oneSetPerP(backbone: ModelFolder, own: readonly ModelFolder[], named: readonly ModelFolder[]): ModelFolder[] {
  const replaced = new Set(named.map(({ config }) => config.parscale.n))
  const sets = [...own.filter(({ config }) => !replaced.has(config.parscale.n)), ...named]
  const ownP = backbone.config.parscale.n
  const seen = new Set(hasStreams(backbone.config) && !replaced.has(ownP) ? [ownP] : [])
  for (const { path, config } of sets) {
    const { n } = config.parscale
    if (seen.has(n)) throw usageError(`${path}: a stream set with P = ${n} is loaded already; name one per P`, { found: n })
    seen.add(n)
  }
  return sets
}

async function namedSets({ streamSets = [], env, ...fetching }: OpenOptions): Promise<string[]> {
  const named: string[] = []
  for (const name of streamSets) named.push(await resolveModel(name, env, fetching))
  return named
}

const openSet = (path: string, options: OpenOptions): Promise<ModelFolder> =>
  openModelPath(path, cacheOptions(options, options.onUnpack))

/** How whatever is made of a model is made in the cache. */
export const cacheOptions = (
  { env, signal, onWait, onFound }: OpenOptions,
  onProgress: ((progress: WriteProgress) => void) | undefined,
) => ({ cacheDirectory: cacheFolder(env), onProgress, onWait, onFound, signal })

async function backboneFolder(path: string, precision: Precision, options: OpenOptions): Promise<string> {
  if (precision === 'asItIs') return path
  const made = await madeOf(path, precision)
  if (made === 'floats') return await ggufFolder(path, cacheOptions(options, options.onUnpack))
  return await quantisedFolder(path, made, cacheOptions(options, options.onQuantise))
}

/** What a folder of the cache is made with. */
export async function madeOf(path: string, precision: Exclude<Precision, 'asItIs'>): Promise<Exclude<Precision, 'asItIs'>> {
  if (precision !== 'stored') return precision
  return (await planQuantisation(path, 'stored')).summary.matrices.length > 0 ? 'stored' : 'floats'
}
