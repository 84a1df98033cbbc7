/** Which engine runs a model, and why: native code on CPUs where it can, else ONNX Runtime. */
import { type ParscaleError, unsupportedError, usageError } from '@parscale/core/internal'
import {
  type DecoderKind,
  type DecoderOptions,
  type DecoderRefusal,
  graphDecoders,
  Model,
  type ModelFiles,
  type ModelPlan,
} from '@parscale/core/internal/generation'
import type { ModelConfig } from '@parscale/core/internal/model'
import type { ModelCacheOptions } from '@parscale/core/internal/node'
import { isDiskError } from '@parscale/core/internal/node/disk'

/** In order of preference; the last one runs every model. */
export const engineNames = ['native', 'onnx'] as const
export type EngineName = (typeof engineNames)[number]
export const engineChoices = ['auto', ...engineNames] as const
export type EngineChoice = (typeof engineChoices)[number]

/** How a model is started: what decoders are told, and where they keep what they make of it. */
export interface EngineOptions extends DecoderOptions, ModelCacheOptions {
  /** What would be kept in the cache is made in memory: prepareEngine says when. */
  readonly inMemory?: true | undefined
}

type Decoders = DecoderKind<EngineOptions>

const graphs: Decoders = graphDecoders('onnx', async (options) =>
  (await import('@parscale/core/internal/node/onnx-runtime')).onnxRuntime(options),
)
/** Undefined where its package is not installed. */
const find: Readonly<Record<EngineName, () => Promise<Decoders | undefined>>> = { native: findNative, onnx: async () => graphs }
const last = engineNames.at(-1)!
/** Why ONNX Runtime is not there, and what to add; undefined where it is. */
const onnxFault = async () => (await import('@parscale/core/internal/node/onnx-runtime')).onnxRuntimeFault()

export interface ChosenEngine {
  readonly engine: EngineName
  /** What it runs with, as `avx512vnni`, or why it is not one that goes before it. */
  readonly why: string
  readonly decoders: Decoders
}

/**
 * Takes what is wanted; with `auto` (the default) the first that has nothing against it.
 *
 * @param configs of the backbone and all stream sets
 * @throws usage or unsupported error where what is wanted refuses
 */
export async function chooseEngine(
  configs: readonly ModelConfig[],
  { engine: wanted = 'auto', ...options }: DecoderOptions & { readonly engine?: EngineChoice | undefined } = {},
): Promise<ChosenEngine> {
  let why = 'as asked for'
  for (const engine of wanted === 'auto' ? engineNames : [wanted]) {
    const { decoders, refusal } = await ask(engine, configs, options)
    if (decoders && (!refusal || (refusal.kind === 'slow' && (engine === wanted || (await onnxFault())))))
      return { engine, why: decoders.runsWith ?? why, decoders }
    if (engine === wanted) throw refused(engine, refusal!, options)
    why = refusal!.kind === 'slow' ? `${refusal!.reason} (--engine ${engine} runs all the same)` : refusal!.reason
  }
  throw unsupportedError(why)
}

async function ask(
  engine: EngineName,
  configs: readonly ModelConfig[],
  options: DecoderOptions,
): Promise<{ decoders?: Decoders; refusal: DecoderRefusal | undefined }> {
  const decoders = await find[engine]()
  if (decoders) return { decoders, refusal: decoders.refusal(configs, options) }
  return { refusal: { kind: 'unsupported', reason: `the package @parscale/${engine} is not installed` } }
}

/** @throws unsupported error that says what to add where the engine's package is not installed */
export async function requireEngine(
  { engine, why }: ChosenEngine,
  { engine: wanted = 'auto' }: { readonly engine?: EngineChoice | undefined },
): Promise<void> {
  const fault = engine === 'onnx' ? await onnxFault() : undefined
  if (fault)
    throw unsupportedError(
      wanted === 'auto' && why !== 'as asked for' ? `${why}; ONNX Runtime would run it, but ${fault}` : fault,
    )
}

/**
 * Makes in the cache what starting a model would make there: packed weights for the native step.
 *
 * @returns why nothing is kept, where the cache has no room or cannot be written: the model starts with `inMemory`
 */
export async function prepareEngine(
  engine: EngineName,
  files: ModelFiles,
  options: EngineOptions,
): Promise<ParscaleError | undefined> {
  const decoders = await decodersOf(engine)
  try {
    await decoders.prepare?.(files, options)
    return undefined
  } catch (error) {
    options.signal?.throwIfAborted()
    if (isDiskError(error)) return error
    throw error
  }
}

/** Bytes that prepareEngine would write into the cache. */
export const keptBytes = async (engine: EngineName, plan: ModelPlan, options: EngineOptions): Promise<number> =>
  (await (await decodersOf(engine)).keptBytes?.(plan, options)) ?? 0

/** For people: what prepareEngine returned. */
export const unkeptLine = ({ message }: ParscaleError): string => `weights are packed in memory, at each start: ${message}\n`

/** Starts a model on an engine. `onProgress`: while weights are packed for the native step, once for each model. */
export async function startModel(engine: EngineName, files: ModelFiles, options: EngineOptions): Promise<Model> {
  return new Model(files, await (await decodersOf(engine)).open(files, options))
}

async function decodersOf(engine: EngineName): Promise<Decoders> {
  const { decoders, refusal } = await ask(engine, [], {})
  if (decoders && refusal?.kind !== 'unsupported') return decoders
  throw refused(engine, refusal!, {})
}

function refused(engine: EngineName, { kind, reason }: DecoderRefusal, { device }: DecoderOptions): ParscaleError {
  const flag = '--engine'
  if (kind !== 'usage') return unsupportedError(`${reason}; use --engine ${last}`, { flag })
  return usageError(`--engine ${engine}: ${reason}; leave --engine or --device out`, { flag, found: device })
}

/** An optional dependency. */
async function findNative(): Promise<Decoders | undefined> {
  try {
    return (await import('@parscale/native')).nativeDecoders
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return undefined
  }
}
