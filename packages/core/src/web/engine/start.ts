/** Starts a model on the first backend that runs it and passes the self-test, and says which and why. */
import type { OpenCheckpoint } from '../../checkpoint/index.ts'
import { isParscaleError, unsupportedError } from '../../errors.ts'
import { Model, type ModelFiles } from '../../generation/index.ts'
import type { KvType } from '../../model/index.ts'
import type { KeptVerdict } from '../kept/verdict.ts'
import { largestTensorBytes, multipliesInFull } from '../model/memory.ts'
import type { BrowserModelInfo } from '../types.ts'
import { type Backend, messageOf, startBuild } from './builds.ts'
import { type WebRuntime, webRuntime } from './onnx-runtime.ts'
import { judgeAgainst, judgeAlone, judgeKnown, knownOf, sample, testVersion, type Verdict } from './self-test.ts'
import { filesInFull, widenedFiles } from './widened.ts'

export interface StartOptions {
  readonly device: 'auto' | 'webgpu' | 'wasm'
  readonly threads?: number | undefined
  readonly runtimeFiles?: string | undefined
  readonly kv?: KvType | undefined
  readonly bits?: number | undefined
  readonly blob: (path: string) => Blob
  readonly onBytes?: (bytes: number) => void
  readonly onTest?: () => void
  readonly signal?: AbortSignal | undefined
  /** Largest model in bytes that is loaded a second time, on WASM, to be compared. Default 64 MB. */
  readonly comparedBytes?: number
  /** Where the files are kept, what the self-test said before. */
  readonly verdict?: KeptVerdict | undefined
}

export interface StartedModel {
  readonly model: Model
  readonly runtime: WebRuntime
  readonly weightBytes: number
  readonly facts: Pick<BrowserModelInfo, 'backend' | 'build' | 'threads' | 'why' | 'notes' | 'selfTest'>
}

/** @throws unsupported error, with what each backend said, where none runs it; what is wrong with the model, as modelFiles */
export async function startModel(files: ModelFiles, backbone: OpenCheckpoint, options: StartOptions): Promise<StartedModel> {
  const { backends, why, notes } = await candidates(options.device, backbone)
  const { threads, note } = threadsFor(options.threads)
  const said: string[] = [...notes]
  let reason = why
  const comparedFiles = filesFor('wasm', files, backbone)
  for (const backend of backends) {
    options.signal?.throwIfAborted()
    const started = await attempt(filesFor(backend, files, backbone), backend, { ...options, threads, comparedFiles })
    if ('model' in started) {
      if (backend === 'wasm' && note !== undefined) said.push(note)
      const { build } = started.runtime
      const threadsUsed = backend === 'wasm' ? threads : 1
      const { model, runtime, weightBytes, selfTest } = started
      return { model, runtime, weightBytes, facts: { backend, build, threads: threadsUsed, why: reason, notes: said, selfTest } }
    }
    said.push(`${names[backend]} does not run this model here: ${started.failure}.`)
    reason = `WASM runs, as ${names[backend]} did not: ${started.failure}.`
  }
  throw unsupportedError(`no backend runs this model here. ${said.join(' ')}`)
}

const names: Readonly<Record<Backend, string>> = { webgpu: 'WebGPU', wasm: 'WASM' }

/**
 * Fetches and compiles the runtime where it is certain that WASM will run, so that this goes on beside the reading of the model. What
 * fails is said when the model starts.
 */
export async function startEarly({ device, threads, runtimeFiles }: Omit<StartOptions, 'blob'>): Promise<void> {
  if (device === 'webgpu' || (device === 'auto' && !isNoGpu(await findAdapter()))) return
  await startBuild('wasm', { threads: threadsFor(threads).threads, runtimeFiles }).catch(() => {})
}

const findAdapter = async () => await globalThis.navigator?.gpu?.requestAdapter().catch(() => null)

/** There is none, or it is computed by the CPU. */
const isNoGpu = (adapter: GPUAdapter | null | undefined): boolean =>
  !adapter || adapter.info.isFallbackAdapter || adapter.info.architecture === 'swiftshader'

/** In order of preference. */
async function candidates(
  device: StartOptions['device'],
  backbone: OpenCheckpoint,
): Promise<{ backends: Backend[]; why: string; notes: string[] }> {
  if (device === 'wasm') return { backends: ['wasm'], why: 'WASM runs, as asked for.', notes: [] }
  const fallback = (why: string): { backends: Backend[]; why: string; notes: string[] } => ({
    backends: ['wasm'],
    why: `WASM runs: ${why}.`,
    notes: device === 'webgpu' ? [`WebGPU was asked for; WASM runs instead, as ${why}.`] : [],
  })
  const adapter = await findAdapter()
  if (!adapter) return fallback(globalThis.navigator?.gpu ? 'WebGPU finds no GPU here' : 'this browser has no WebGPU')
  const largest = largestTensorBytes(backbone)
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits
  const most = Math.min(maxBufferSize, maxStorageBufferBindingSize)
  if (largest > most) return fallback(`the GPU takes buffers of ${most} bytes, and the largest weight has ${largest}`)
  if (device === 'webgpu') return { backends: ['webgpu', 'wasm'], why: 'WebGPU runs, as asked for.', notes: [] }
  if (isNoGpu(adapter)) return fallback('the only GPU here is computed by the CPU')
  return { backends: ['webgpu', 'wasm'], why: 'WebGPU runs: this browser has a GPU.', notes: [] }
}

function threadsFor(wanted: number | undefined): { threads: number; note?: string } {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1
  const usual = Math.max(1, Math.min(8, cores <= 4 ? cores : Math.ceil(cores / 2)))
  const threads = wanted ?? usual
  if (threads === 1 || globalThis.crossOriginIsolated) return { threads }
  return {
    threads: 1,
    note: `One thread runs, where there could be ${threads}: the page is not isolated (Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp).`,
  }
}

/** The files as a backend can run them. */
function filesFor(backend: Backend, files: ModelFiles, backbone: OpenCheckpoint): ModelFiles {
  if (backend === 'webgpu') return widenedFiles(files)
  return multipliesInFull(backbone) ? filesInFull(files) : files
}

interface Attempting extends StartOptions {
  readonly threads: number
  /** As WASM runs them, for a comparison. */
  readonly comparedFiles: ModelFiles
}

interface Attempt extends Omit<StartedModel, 'facts'> {
  readonly selfTest: BrowserModelInfo['selfTest']
}

async function attempt(
  files: ModelFiles,
  backend: Backend,
  options: Attempting,
): Promise<Attempt | { readonly failure: string }> {
  let runtime: WebRuntime | undefined
  let model: Model | undefined
  try {
    let weightBytes = 0
    const onBytes = (bytes: number) => {
      weightBytes += bytes
      options.onBytes?.(bytes)
    }
    const { threads, runtimeFiles, blob, signal } = options
    runtime = await webRuntime({ backend, threads: backend === 'wasm' ? threads : 1, runtimeFiles, blob, onBytes, signal })
    model = await Model.load(runtime, files, { kv: options.kv })
    const how = await circumstances(runtime, backend, options)
    const before = await options.verdict?.read(how)
    if (before !== undefined) return { model, runtime, weightBytes, selfTest: before }
    options.onTest?.()
    const { verdict, selfTest } = await test(model, files, backend, weightBytes, options)
    if (verdict === undefined) {
      await options.verdict?.write(how, selfTest)
      return { model, runtime, weightBytes, selfTest }
    }
    await release(model, runtime)
    return { failure: `the self-test failed, ${verdict}` }
  } catch (error) {
    await release(model, runtime)
    options.signal?.throwIfAborted()
    // What is wrong with the model is so on every backend.
    if (isParscaleError(error) && error.kind !== 'runtime' && error.kind !== 'unsupported') throw error
    return { failure: messageOf(error).replace(/\.$/, '') }
  }
}

/** What a verdict depends on beside the model's files: another browser, runtime, GPU or driver is tested anew. */
async function circumstances(
  { build, version }: WebRuntime,
  backend: Backend,
  { threads, kv, bits }: Attempting,
): Promise<string> {
  const { vendor, architecture, device, description } = (backend === 'webgpu' && (await findAdapter())?.info) || {}
  const gpu = backend === 'webgpu' ? [vendor, architecture, device, description] : [threads]
  return [testVersion, globalThis.navigator?.userAgent, backend, build, version, kv ?? '', bits ?? '', ...gpu].join('\n')
}

async function test(
  model: Model,
  files: ModelFiles,
  backend: Backend,
  weightBytes: number,
  options: Attempting,
): Promise<{ verdict: Verdict; selfTest: BrowserModelInfo['selfTest'] }> {
  const known = knownOf(files)
  const samples = await sample(model, known)
  if (known) return { verdict: judgeKnown(samples, known), selfTest: 'known tokens' }
  const { comparedBytes = 64e6 } = options
  if (backend === 'wasm' || weightBytes > comparedBytes)
    return { verdict: await judgeAlone(model, samples), selfTest: 'finite logits' }
  const { threads, runtimeFiles, blob, signal } = options
  // With as many threads as it would have for good: the module starts once.
  const runtime = await webRuntime({ backend: 'wasm', threads, runtimeFiles, blob, signal })
  const other = await Model.load(runtime, options.comparedFiles, { kv: options.kv })
  try {
    return { verdict: judgeAgainst(samples, await sample(other, undefined)), selfTest: 'other backend' }
  } finally {
    await release(other, runtime)
  }
}

/** A GPU that is lost may never answer: nobody waits for it. */
export async function release(model: Model | undefined, runtime: WebRuntime | undefined): Promise<void> {
  const released = model?.dispose().catch(() => {})
  if (runtime?.device === 'cpu') await released
  else await Promise.race([released, runtime?.lost, new Promise((resolve) => setTimeout(resolve, 2000))])
  runtime?.dispose()
}
