/** Which engine runs a model, and why: native code on CPUs where it can, else ONNX Runtime. */
import { unsupportedError, usageError } from '@parscale/core'
import { Model, type ModelFiles } from '@parscale/core/generation'
import type { KvType, ModelConfig } from '@parscale/core/model'
import type { ModelCacheOptions } from '@parscale/core/node'
import { type OnnxRuntimeOptions, onnxRuntime } from '@parscale/core/node/onnx-runtime'

export const engineNames = ['native', 'onnx'] as const
export type EngineName = (typeof engineNames)[number]
export const engineChoices = ['auto', ...engineNames] as const
export type EngineChoice = (typeof engineChoices)[number]

export interface ChosenEngine {
  readonly engine: EngineName
  /** What it runs with, as `avx512vnni`, or why it is not the native one. */
  readonly why: string
}

/**
 * Takes what is wanted; with `auto` native code, unless something stands against it.
 *
 * @param configs of the backbone and all stream sets
 * @throws usage error for native code on another device than the CPU, unsupported error where it cannot run
 */
export async function chooseEngine(
  wanted: EngineChoice,
  device: OnnxRuntimeOptions['device'],
  configs: readonly ModelConfig[],
): Promise<ChosenEngine> {
  if (wanted === 'onnx') return { engine: 'onnx', why: 'as asked for' }
  if (device !== undefined && device !== 'cpu') {
    if (wanted === 'native')
      throw usageError(`--engine native runs on the CPU only, not on ${device}; leave --engine or --device out`, {
        flag: '--engine',
        found: device,
      })
    return { engine: 'onnx', why: `the native step runs on the CPU only, not on ${device}` }
  }
  const native = await nativePackage()
  const reason = 'reason' in native ? native.reason : native.nativeRefusal(configs)
  if (reason !== undefined) {
    if (wanted === 'native') throw unsupportedError(`${reason}; use --engine onnx`, { flag: '--engine' })
    return { engine: 'onnx', why: reason }
  }
  const [best] = 'reason' in native ? [] : native.instructionSets()
  if (best === 'portable' && wanted === 'auto')
    return { engine: 'onnx', why: 'the native step has no instruction set for this CPU (--engine native runs all the same)' }
  return { engine: 'native', why: best! }
}

export interface EngineOptions extends OnnxRuntimeOptions, ModelCacheOptions {
  readonly kv?: KvType | undefined
}

/** Starts a model on an engine. `onProgress`: while weights are packed for the native step, once for each model. */
export async function startModel(engine: EngineName, files: ModelFiles, options: EngineOptions): Promise<Model> {
  if (engine === 'onnx') return await Model.load(onnxRuntime(options), files, { kv: options.kv })
  const native = await requireNative()
  const { cacheDirectory, onProgress, onWait, signal, kv, threads } = options
  const caching = { cacheDirectory, onProgress, onWait, signal }
  const decoder = await native.nativeDecoder(files, { ...caching, kv, ...(threads === undefined ? {} : { threads }) })
  return new Model(files, decoder)
}

/** Makes what starting a model would make in the cache: packed weights for the native step. */
export async function prepareModel(engine: EngineName, files: ModelFiles, options: ModelCacheOptions): Promise<void> {
  if (engine === 'native') await (await requireNative()).packModel(files, options)
}

async function requireNative() {
  const native = await nativePackage()
  if ('reason' in native) throw unsupportedError(`${native.reason}; use --engine onnx`, { flag: '--engine' })
  return native
}

/** An optional dependency: it may be missing, or be there without a module for this platform. */
async function nativePackage(): Promise<typeof import('@parscale/native') | { readonly reason: string }> {
  try {
    const native = await import('@parscale/native')
    const loaded = native.nativeModule()
    return 'module' in loaded ? native : { reason: loaded.reason }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return { reason: 'the package @parscale/native is not installed' }
  }
}
