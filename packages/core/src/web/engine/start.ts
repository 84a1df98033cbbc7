/** Starts a model on the first backend that runs it and passes the self-test, and says which and why. */
import type { OpenCheckpoint } from '../../checkpoint/index.ts'
import { isParscaleError, unsupportedError } from '../../errors.ts'
import { Model, type ModelFiles } from '../../generation/index.ts'
import type { KvType } from '../../model/index.ts'
import { type ReadStored, stepRefusal } from '../../packed/index.ts'
import type { KeptVerdict } from '../kept/verdict.ts'
import { availableBytes, gigabytes, graphsMemoryOf, largestTensorBytes, multipliesInFull } from '../model/memory.ts'
import { stepDecoder } from '../step/step-decoder.ts'
import { stepFile } from '../step/step-file.ts'
import { threadStarter } from '../step/step-threads.ts'
import type { BrowserModelInfo } from '../types.ts'
import { type Backend, messageOf } from './builds.ts'
import { type WebRuntime, webRuntime } from './onnx-runtime.ts'
import { judgeAgainst, judgeAlone, judgeKnown, knownOf, sample, testVersion, type Verdict } from './self-test.ts'
import { filesInFull, widenedFiles } from './widened.ts'

export interface StartOptions {
  readonly device: 'auto' | 'webgpu' | 'wasm'
  readonly threads?: number | undefined
  readonly runtimeFiles?: string | undefined
  readonly stepFiles?: string | undefined
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
  readonly runtime: RunningEngine
  readonly weightBytes: number
  readonly facts: Pick<BrowserModelInfo, 'backend' | 'build' | 'threads' | 'why' | 'notes' | 'selfTest'>
}

/** What computes: WebGPU or WASM by onnxruntime-web, or our own step on WASM, which comes first there. */
type Engine = 'webgpu' | 'step' | 'onnx'

/** What runs a model, and is let go of after it. */
export type RunningEngine = Pick<WebRuntime, 'device' | 'version' | 'lost' | 'dispose'> & {
  readonly build: BrowserModelInfo['build']
  readonly threads: number
}

/** @throws unsupported error, with what each backend said, where none runs it; what is wrong with the model, as modelFiles */
export async function startModel(files: ModelFiles, backbone: OpenCheckpoint, options: StartOptions): Promise<StartedModel> {
  const { backends, why, notes } = await candidates(options.device, backbone)
  const { threads, note } = threadsFor(options.threads)
  const said: string[] = [...notes]
  let reason = why
  for (const engine of backends.flatMap((backend) => enginesOf(backend, files))) {
    options.signal?.throwIfAborted()
    const started = await attempt(engine, files, backbone, { ...options, threads })
    if ('model' in started) {
      const backend = engine === 'webgpu' ? 'webgpu' : 'wasm'
      if (backend === 'wasm' && note !== undefined) said.push(note)
      const { model, runtime, weightBytes, selfTest } = started
      const { build } = runtime
      if (backend === 'wasm' && note === undefined && runtime.threads < threads)
        said.push(`${runtime.threads} of ${threads} threads run: the others did not start, or nothing says what file they are.`)
      return {
        model,
        runtime,
        weightBytes,
        facts: { backend, build, threads: runtime.threads, why: reason, notes: said, selfTest },
      }
    }
    said.push(`${names[engine]} does not run this model here: ${started.failure}.`)
    if (engine === 'webgpu') reason = `WASM runs, as WebGPU did not: ${started.failure}.`
  }
  throw unsupportedError(`no backend runs this model here. ${said.join(' ')}`)
}

const names: Readonly<Record<Engine, string>> = {
  webgpu: 'WebGPU',
  step: 'The step of parscale',
  onnx: 'WASM by ONNX Runtime',
}

const enginesOf = (backend: Backend, files: ModelFiles): Engine[] =>
  backend === 'webgpu' ? ['webgpu'] : isStepped(files) ? ['step', 'onnx'] : ['onnx']

const isStepped = ({ config, streamSets }: ModelFiles): boolean =>
  stepRefusal([config, ...streamSets.map((set) => set.config)]) === undefined

/**
 * Fetches and compiles the step where it is certain that WASM will run, so that this goes on beside the reading of the model. What
 * fails is said when the model starts.
 */
export async function startEarly({ device, stepFiles }: Pick<StartOptions, 'device' | 'stepFiles'>): Promise<void> {
  if (device === 'webgpu' || (device === 'auto' && !isNoGpu(await findAdapter()))) return
  await stepFile(stepFiles).catch(() => {})
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

/** The files as onnxruntime-web can run them. */
function filesFor(backend: Backend, files: ModelFiles, backbone: OpenCheckpoint): ModelFiles {
  if (backend === 'webgpu') return widenedFiles(files)
  return multipliesInFull(backbone) ? filesInFull(files) : files
}

interface Attempting extends StartOptions {
  readonly threads: number
}

interface Loaded {
  readonly model: Model
  readonly runtime: RunningEngine
}

const load = (engine: Engine, files: ModelFiles, backbone: OpenCheckpoint, options: Attempting): Promise<Loaded> =>
  engine === 'step' ? loadStep(files, options) : loadGraphs(engine === 'webgpu' ? 'webgpu' : 'wasm', files, backbone, options)

async function loadStep(files: ModelFiles, options: Attempting): Promise<Loaded> {
  const { blob, onBytes, signal, threads, kv = 'f32' } = options
  const { module, version } = await stepFile(options.stepFiles)
  const read: ReadStored = async ({ path, offset, made }, from, length) => {
    if (made) return (await made.read(offset + from, length)).slice().buffer
    const part = blob(path).slice(offset + from, offset + from + length)
    return await part.arrayBuffer()
  }
  const decoder = await stepDecoder(files, {
    ...{ module, threads, startThread: threads > 1 ? threadStarter() : undefined },
    ...{ read, kv, signal, availableBytes: availableBytes() },
    ...(onBytes && { onBytes }),
  })
  const runtime = {
    device: 'cpu',
    build: 'step',
    version,
    threads: decoder.threads,
    lost: new Promise<never>(() => {}),
    dispose() {},
  } as const
  return { model: new Model(files, decoder), runtime }
}

async function loadGraphs(backend: Backend, files: ModelFiles, backbone: OpenCheckpoint, options: Attempting): Promise<Loaded> {
  const { runtimeFiles, blob, onBytes, signal, kv } = options
  // Before anything was read, the step's need was looked at where it runs: float32 takes more.
  const { totalBytes } = graphsMemoryOf(backbone, files.streamSets, { kv })
  if (isStepped(files) && totalBytes > availableBytes())
    throw unsupportedError(`it would take ${gigabytes(totalBytes)}, a page here may have ${gigabytes(availableBytes())}`)
  const threads = backend === 'webgpu' ? 1 : options.threads
  const started = await webRuntime({ backend, threads, runtimeFiles, blob, signal, ...(onBytes && { onBytes }) })
  const runtime = { ...started, threads }
  try {
    return { model: await Model.load(runtime, filesFor(backend, files, backbone), { kv }), runtime }
  } catch (error) {
    await release(undefined, runtime)
    throw error
  }
}

interface Attempt extends Omit<StartedModel, 'facts'> {
  readonly selfTest: BrowserModelInfo['selfTest']
}

async function attempt(
  engine: Engine,
  files: ModelFiles,
  backbone: OpenCheckpoint,
  options: Attempting,
): Promise<Attempt | { readonly failure: string }> {
  let { model, runtime }: Partial<Loaded> = {}
  try {
    let weightBytes = 0
    const onBytes = (bytes: number) => {
      weightBytes += bytes
      options.onBytes?.(bytes)
    }
    ;({ model, runtime } = await load(engine, files, backbone, { ...options, onBytes }))
    const how = await circumstances(runtime, options)
    const before = await options.verdict?.read(how)
    if (before !== undefined) return { model, runtime, weightBytes, selfTest: before }
    options.onTest?.()
    const { verdict, selfTest } = await test(model, engine, files, backbone, weightBytes, options)
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
async function circumstances({ device, build, version, threads }: RunningEngine, { kv, bits }: Attempting): Promise<string> {
  const { vendor, architecture, device: gpu, description } = (device === 'webgpu' && (await findAdapter())?.info) || {}
  const where = device === 'webgpu' ? [vendor, architecture, gpu, description] : [threads]
  return [testVersion, globalThis.navigator?.userAgent, device, build, version, kv ?? '', bits ?? '', ...where].join('\n')
}

async function test(
  model: Model,
  engine: Engine,
  files: ModelFiles,
  backbone: OpenCheckpoint,
  weightBytes: number,
  options: Attempting,
): Promise<{ verdict: Verdict; selfTest: BrowserModelInfo['selfTest'] }> {
  const known = knownOf(files)
  const samples = await sample(model, known)
  if (known) return { verdict: judgeKnown(samples, known), selfTest: 'known tokens' }
  const { comparedBytes = 64e6 } = options
  if (engine !== 'webgpu' || weightBytes > comparedBytes)
    return { verdict: await judgeAlone(model, samples), selfTest: 'finite logits' }
  const { onBytes: _, ...quietly } = options
  const other = await loadOther(files, backbone, quietly)
  if (!other) return { verdict: await judgeAlone(model, samples), selfTest: 'finite logits' }
  try {
    return { verdict: judgeAgainst(samples, await sample(other.model, undefined)), selfTest: 'other backend' }
  } finally {
    await release(other.model, other.runtime)
  }
}

/** On WASM, by what runs it there; undefined where nothing does. */
async function loadOther(files: ModelFiles, backbone: OpenCheckpoint, options: Attempting): Promise<Loaded | undefined> {
  for (const engine of enginesOf('wasm', files)) {
    try {
      return await load(engine, files, backbone, options)
    } catch {
      options.signal?.throwIfAborted()
    }
  }
  return undefined
}

/** A GPU that is lost may never answer: nobody waits for it. */
export async function release(model: Model | undefined, runtime: RunningEngine | undefined): Promise<void> {
  const released = model?.dispose().catch(() => {})
  if (runtime?.device === 'cpu') await released
  else await Promise.race([released, runtime?.lost, new Promise((resolve) => setTimeout(resolve, 2000))])
  runtime?.dispose()
}
