/** From what a user names (a folder, a GGUF file, a model of the hub, nothing) to a model that can be run. */
import { readdir, stat } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { checkpointError, isParscaleError, resourceError, usageError } from '@parscale/core'
import {
  type ModelConfig,
  parseModelConfig,
  type QuantiseSettings,
  quantisedBytes,
  readGgufModel,
} from '@parscale/core/checkpoint'
import { isTied, type Model, type ModelFiles, modelFiles, rowTokensPerStep, TextModel } from '@parscale/core/generation'
import { elementCount, estimateMemory, hasStreams, type KvType, type MemoryEstimate } from '@parscale/core/model'
import {
  type ModelCacheOptions,
  type ModelFolder,
  openFileSource,
  openModelFolder,
  openModelPath,
  planQuantisation,
  quantisedFolder,
  streamSetFolders,
  verifySameBackbone,
  type WriteProgress,
} from '@parscale/core/node'
import type { OnnxRuntimeOptions } from '@parscale/core/node/onnx-runtime'
import { createChatTemplate, createTokenizer, type TokenizerFiles } from '@parscale/core/tokenizer'
import envPaths from 'env-paths'
import { resolveCachedModel } from '../hub/cached-model.ts'
import {
  type ChosenEngine,
  chooseEngine,
  type EngineChoice,
  type EngineName,
  type EngineOptions,
  prepareModel,
  startModel,
} from './decode-engine.ts'

/** The model that ships with the package: small, trained on public prose, with P = 1, 2, 4 and 8. Its card is README.md in it. */
export const shippedModel = fileURLToPath(new URL('../../models/small', import.meta.url))

export interface OpenOptions extends Partial<QuantiseSettings> {
  /** Weights in so many bits: made once of the model and kept in the cache. Default: as they are stored. */
  readonly bits?: QuantiseSettings['bits'] | undefined
  /** Further stream sets for the same backbone: folders or models, each with another P. */
  readonly streamSets?: readonly string[]
  /** Default: the environment of the process (HF_HOME, PARSCALE_CACHE, ...). */
  readonly env?: NodeJS.ProcessEnv
  readonly signal?: AbortSignal
  /** Called while a GGUF file is unpacked for the first time. */
  readonly onUnpack?: (progress: WriteProgress) => void
  /** Called while a model is quantised for the first time. */
  readonly onQuantise?: (progress: WriteProgress) => void
  /** Called where another process is writing into the cache: this one waits for it. */
  readonly onWait?: ModelCacheOptions['onWait']
}

export interface LoadOptions extends OpenOptions, OnnxRuntimeOptions {
  /** Default: auto, which is native code where it can run. */
  readonly engine?: EngineChoice | undefined
  /** Called before weights are loaded. */
  readonly onEngine?: (engine: ChosenEngine) => void
  /** Called while weights are packed for the native step for the first time. */
  readonly onPack?: (progress: WriteProgress) => void
  /** How keys and values are stored: f32, f16 or int8. Default: f32. */
  readonly kv?: KvType | undefined
  /** Checked against free memory before anything is loaded. Default: P of the model, 2048 tokens. */
  readonly p?: number
  readonly contextTokens?: number
}

/** A model's description: enough to count and to plan with. */
export interface ModelOutline {
  readonly backbone: Outline
  readonly streamSets: readonly Outline[]
}

export interface Outline {
  readonly path: string
  readonly config: ModelConfig
  /** Element type and shape by name; of a GGUF file, under Hugging Face's names. */
  readonly tensors: OutlineTensors
  /** Those whose type is none of floats: data of quantised matrices. */
  readonly otherTensors?: OutlineTensors
}

type OutlineTensors = ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>

/** A backbone and its stream sets, open but not loaded. */
export interface OpenModel extends ModelOutline {
  readonly backbone: ModelFolder
  readonly streamSets: readonly ModelFolder[]
  close(): Promise<void>
}

/** Where unpacked GGUF files and quantised models lie: PARSCALE_CACHE, else the platform's cache folder. */
export const cacheFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  env.PARSCALE_CACHE || envPaths('parscale', { suffix: '' }).cache

/**
 * Finds a model: a path as it is, ORG/NAME in the hub's cache.
 *
 * @throws usage error that says what to do when it is neither
 */
export async function resolveModel(model: string | undefined, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  if (model === undefined) return shippedModel
  if (await exists(model)) return model
  if (!/^[\w.-]+\/[\w.-]+$/.test(model))
    throw usageError(`${model}: there is no such file or folder, and it is not a model's name on the hub (ORG/NAME)`, {
      found: model,
    })
  const cached = await resolveCachedModel(model, { env })
  if (cached) return await weightsIn(cached)
  throw usageError(
    `${model}: there is no such folder here, and the hub's cache does not hold it; get it with: parscale pull ${model}`,
    { found: model },
  )
}

/** A snapshot may be a model's folder or hold a single GGUF file. */
async function weightsIn(folder: string): Promise<string> {
  if (await exists(join(folder, 'config.json'))) return folder
  const files = (await readdir(folder)).filter((name) => /\.gguf$/i.test(name)).sort()
  if (files.length > 1)
    throw usageError(`${folder}: holds ${files.length} GGUF files; name the one you mean: ${files.join(', ')}`, { found: files })
  return join(folder, ...files)
}

/** Opens a model with all its stream sets: its own, those in its `streams/` folder, and those named. */
export async function openModel(model: string | undefined, options: OpenOptions = {}): Promise<OpenModel> {
  const open: ModelFolder[] = []
  const close = async () => {
    await Promise.all(open.map((folder) => folder.close()))
  }
  try {
    const cache = cacheOptions(options)
    const backbone = await openBackbone(await resolveModel(model, options.env), options)
    open.push(backbone)
    for (const path of await streamSetFolders(backbone.path)) open.push(await openModelFolder(path))
    for (const name of options.streamSets ?? []) open.push(await openModelPath(await resolveModel(name, options.env), cache))
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

const cacheOptions = ({ env, signal, onUnpack: onProgress, onWait }: OpenOptions) => ({
  cacheDirectory: cacheFolder(env),
  onProgress,
  onWait,
  signal,
})

async function openBackbone(path: string, options: OpenOptions): Promise<ModelFolder> {
  const { bits, blockSize, onQuantise: onProgress } = options
  const cache = cacheOptions(options)
  if (bits === undefined) return await openModelPath(path, cache)
  return await openModelFolder(await quantisedFolder(path, { bits, blockSize }, { ...cache, onProgress }))
}

/** Describes a model from its headers alone: nothing is loaded, no GGUF file unpacked and nothing quantised. */
export async function outlineModel(model: string | undefined, options: OpenOptions = {}): Promise<ModelOutline> {
  const { bits, blockSize } = options
  const path = await resolveModel(model, options.env)
  if (bits !== undefined) {
    const { config, tensors } = await planQuantisation(path, { bits, blockSize })
    return { backbone: { path, config, tensors: byName(tensors) }, streamSets: await outlineStreamSets(path, options) }
  }
  if (options.streamSets || !/\.gguf$/i.test(path) || !(await stat(path)).isFile()) {
    const open = await openModel(path, options)
    await open.close()
    return open
  }
  const source = await openFileSource(path)
  try {
    const { configJson, tensors } = await readGgufModel(source)
    const outlines = tensors.map(({ name, shape, type }) => ({ name, shape, dtype: type }))
    return { backbone: { path, config: parseModelConfig(configJson, path), tensors: byName(outlines) }, streamSets: [] }
  } finally {
    await source.close()
  }
}

const byName = (tensors: readonly { name: string; dtype: string; shape: readonly number[] }[]): OutlineTensors =>
  new Map(tensors.map(({ name, dtype, shape }) => [name, { dtype, shape }]))

async function outlineStreamSets(path: string, options: OpenOptions): Promise<Outline[]> {
  const sets: Outline[] = []
  const named = await Promise.all((options.streamSets ?? []).map((name) => resolveModel(name, options.env)))
  for (const set of [...(await streamSetFolders(path)), ...named]) {
    const open = await openModelPath(set, cacheOptions(options))
    await open.close()
    sets.push(open)
  }
  return sets
}

/**
 * Loads a model to run.
 *
 * @throws resource error, with the numbers, when it will not fit into free memory; usage error for a P it does not have
 */
export async function loadModel(
  model?: string,
  options: LoadOptions = {},
): Promise<{ model: Model; backbone: ModelFolder; close(): Promise<void> }> {
  const open = await openToLoad(model, options)
  try {
    return { model: await startOpenModel(open, options), backbone: open.backbone, close: open.close }
  } catch (error) {
    await open.close()
    throw error
  }
}

/** Loads a model with its tokenizer and chat template. @throws as loadModel; checkpoint error when it has no tokenizer */
export async function loadTextModel(model?: string, options: LoadOptions = {}): Promise<TextModel> {
  const open = await openToLoad(model, options)
  try {
    const { backbone } = open
    // Small files first: what is wrong with them is said before the weights are loaded.
    const files = await tokenizerFiles(backbone)
    const tokenizer = createTokenizer(files, backbone.path)
    const template = createChatTemplate(files, tokenizer)
    const stops = await generationStops(backbone)
    return new TextModel(await startOpenModel(open, options), tokenizer, template, stops)
  } finally {
    await open.close()
  }
}

async function openToLoad(model: string | undefined, options: LoadOptions): Promise<OpenModel> {
  // Before the work of quantising, too.
  if (options.bits !== undefined) {
    const outline = await outlineModel(model, options)
    requireMemory(outline, (await engineOf(outline, options)).engine, options)
  }
  return await openModel(model, options)
}

async function startOpenModel(open: OpenModel, options: LoadOptions): Promise<Model> {
  const wanted = await engineOf(open, options)
  requireMemory(open, wanted.engine, options)
  const files = await modelFiles(open.backbone, open.streamSets)
  const engineOptions = { ...options, ...cacheOptions(options), onProgress: options.onPack }
  const chosen = await prepared(wanted, files, options.engine, engineOptions)
  if (chosen.engine !== wanted.engine) requireMemory(open, chosen.engine, options)
  options.onEngine?.(chosen)
  return await startModel(chosen.engine, files, engineOptions)
}

/** Packs what the engine needs packed. With `auto`, a cache that has no room or cannot be written is no reason to give up. */
async function prepared(
  chosen: ChosenEngine,
  files: ModelFiles,
  wanted: EngineChoice = 'auto',
  options: EngineOptions,
): Promise<ChosenEngine> {
  try {
    await prepareModel(chosen.engine, files, options)
    return chosen
  } catch (error) {
    if (wanted !== 'auto' || !isParscaleError(error) || (error.kind !== 'resource' && error.kind !== 'usage')) throw error
    return { engine: 'onnx', why: error.message }
  }
}

/** The engine that would run a model, and why. @throws as chooseEngine */
export const engineOf = (
  model: ModelOutline,
  { engine = 'auto', device }: Pick<LoadOptions, 'engine' | 'device'>,
): Promise<ChosenEngine> =>
  chooseEngine(
    engine,
    device,
    [model.backbone, ...model.streamSets].map(({ config }) => config),
  )

/** @throws resource error, with the numbers, for a model that does not fit into free memory */
function requireMemory(model: ModelOutline, engine: EngineName, options: LoadOptions): void {
  const { device = 'cpu', contextTokens, kv } = options
  const { p, estimate } = memoryOf(model, { p: options.p, contextTokens, kv, engine })
  const availableBytes = availableMemoryBytes()
  if (device !== 'cpu' || estimate.totalBytes <= availableBytes) return
  const quantised = quantisedTensorBytes(model.backbone).size > 0
  throw resourceError(
    `${model.backbone.path} needs ${gigabytes(estimate.totalBytes)} of memory at P = ${p} (weights ${gigabytes(estimate.weightBytes)}, cache ${gigabytes(estimate.cacheBytes)}), ${gigabytes(availableBytes)} are free; close other programs, or use a smaller P, context or model${quantised ? '' : ', or fewer bits: --bits 8 or --bits 4'}`,
    { expected: estimate.totalBytes, found: availableBytes },
  )
}

const quantisedTensorBytes = ({ tensors, otherTensors = new Map() }: Outline): Map<string, number> =>
  quantisedBytes(new Map([...tensors, ...otherTensors]))

/** Bytes of the tensors that an engine does not hold in float32, by name: quantised ones, and bfloat16 in native code. */
function heldBytes(outline: Outline, engine: EngineName): Map<string, number> {
  const held = quantisedTensorBytes(outline)
  for (const [name, { dtype, shape }] of outline.tensors)
    if (engine === 'native' && dtype === 'BF16') held.set(name, 2 * elementCount(shape))
  return held
}

export interface MemoryQuestionOptions {
  /** Default: the largest there is. */
  readonly p?: number | undefined
  /** Default: 2048, or the whole context. */
  readonly contextTokens?: number | undefined
  /** Default: f32. */
  readonly kv?: KvType | undefined
  readonly engine: EngineName
}

/**
 * Memory for P streams over so many tokens.
 *
 * @throws usage error for a P that the model does not have
 */
export function memoryOf(
  open: ModelOutline,
  { p, contextTokens, kv, engine }: MemoryQuestionOptions,
): { p: number; contextTokens: number; estimate: MemoryEstimate } {
  const { config } = open.backbone
  const streamSets = [config, ...open.streamSets.map((set) => set.config)].filter(hasStreams)
  const available = [...new Set([1, ...streamSets.map(({ parscale }) => parscale.n)])].sort((a, b) => a - b)
  const chosen = p ?? available.at(-1)!
  if (!available.includes(chosen))
    throw usageError(`P = ${chosen}: this model has no such stream set; it has P = ${available.join(', ')}`, {
      flag: 'p',
      found: p,
    })
  const context = Math.min(contextTokens ?? 2048, config.maxPositionEmbeddings)
  const question = {
    tied: isTied(open.backbone),
    p: chosen,
    contextTokens: context,
    streamSets,
    rowTokens: Math.min(rowTokensPerStep, chosen * context),
    heldBytes: heldBytes(open.backbone, engine),
    engine,
    kv,
  }
  return { p: chosen, contextTokens: context, estimate: estimateMemory(config, question) }
}

/** What this process may still take; respects container limits where Node knows them. */
export const availableMemoryBytes = (): number => process.availableMemory?.() ?? freemem()

export async function tokenizerFiles(folder: Pick<ModelFolder, 'path' | 'readText'>): Promise<TokenizerFiles> {
  const tokenizerJson = await readJson(folder, 'tokenizer.json')
  if (tokenizerJson === undefined) {
    throw checkpointError(
      `${folder.path}: tokenizer.json is missing; text needs it. Token ids work without: parscale score --ids 1,2,3`,
      { file: 'tokenizer.json' },
    )
  }
  return {
    tokenizerJson,
    tokenizerConfig: await readJson(folder, 'tokenizer_config.json'),
    chatTemplate: await folder.readText('chat_template.jinja'),
  }
}

/** Ends of text that only generation_config.json names. */
async function generationStops(folder: ModelFolder): Promise<number[]> {
  const file = 'generation_config.json'
  const found = ((await readJson(folder, file)) as { eos_token_id?: unknown } | null | undefined)?.eos_token_id ?? []
  const ids = [found].flat()
  if (!ids.every((id): id is number => Number.isSafeInteger(id)))
    throw checkpointError(`${join(folder.path, file)}: eos_token_id should be a token id or a list of them`, { file, found })
  return ids
}

/** A JSON file of the folder; undefined where there is none. */
async function readJson(folder: Pick<ModelFolder, 'path' | 'readText'>, name: string): Promise<unknown> {
  const text = await folder.readText(name)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw checkpointError(`${join(folder.path, name)}: is not valid JSON (${(cause as Error).message})`, { file: name, cause })
  }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 1)} GB`

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
