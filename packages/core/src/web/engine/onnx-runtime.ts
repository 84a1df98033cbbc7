/** The Runtime over onnxruntime-web: WASM on CPUs, WebGPU. Weights are slices of blobs, read once for each session. */
import type { InferenceSession, Tensor } from 'onnxruntime-common'
import { runtimeError, unsupportedError } from '../../errors.ts'
import { type ExternalData, type Graph, writeOnnx } from '../../graph/index.ts'
import type { Runtime, Session, SessionOptions } from '../../runtime/index.ts'
import { breathing } from './breathe.ts'
import { type Backend, type Build, buildFor, messageOf, type OrtModule, startBuild } from './builds.ts'
import { gpuMemory } from './gpu-memory.ts'
import type { WasmMemory } from './wasm-memory.ts'
import { readPlace } from './widened.ts'

export interface WebRuntimeOptions {
  readonly backend: Backend
  /** 1 where the page is not isolated, and on WebGPU. */
  readonly threads: number
  readonly runtimeFiles?: string | undefined
  /** Where the bytes of a weight lie, by the path that the graph names. */
  readonly blob: (path: string) => Blob
  /** Told the bytes of each weight that was handed to the engine. */
  readonly onBytes?: (bytes: number) => void
  readonly signal?: AbortSignal | undefined
}

export interface WebRuntime extends Runtime {
  readonly build: Build
  /** Of onnxruntime-web. */
  readonly version: string
  /** Settles when the GPU is lost, with the reason; never on WASM or after `dispose`. */
  readonly lost: Promise<string>
  /** Gives the GPU back. Sessions are disposed of before. */
  dispose(): void
}

/** @throws unsupported error where there is no GPU, or the build cannot be loaded */
export async function webRuntime(options: WebRuntimeOptions): Promise<WebRuntime> {
  const { backend, threads } = options
  const device = backend === 'webgpu' ? await openDevice() : undefined
  const build = buildFor(backend)
  const { ort, memory } = await startBuild(build, { threads, runtimeFiles: options.runtimeFiles })
  let disposed = false
  const lost = new Promise<string>((resolve) => {
    device?.lost.then(({ message, reason }) => {
      if (!disposed) resolve(message || reason || 'no reason given')
    })
  })
  const provider = device ? ({ name: 'webgpu', device } as const) : 'wasm'
  return {
    device: backend === 'wasm' ? 'cpu' : 'webgpu',
    threads,
    build,
    version: ort.env.versions.web ?? ort.env.versions.common,
    lost,
    memory,
    deviceMemory: device && gpuMemory(device, ort),
    createSession: (graph, sessionOptions = {}) => createSession(ort, memory, provider, graph, sessionOptions, options, lost),
    dispose() {
      disposed = true
      device?.destroy()
    },
  }
}

/**
 * All limits that the adapter has: the largest weights are one buffer each. No feature is asked for, and float16 not above all:
 * everything is summed in float32.
 */
async function openDevice(): Promise<GPUDevice> {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) throw unsupportedError('WebGPU has no adapter here')
  const requiredLimits = Object.fromEntries(largeLimits.map((name) => [name, adapter.limits[name]]))
  const requiredFeatures = adapter.features.has('subgroups') ? (['subgroups'] as const) : []
  return await adapter.requestDevice({ requiredLimits, requiredFeatures: [...requiredFeatures] })
}

const largeLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const

async function createSession(
  ort: OrtModule,
  memory: WasmMemory | undefined,
  provider: InferenceSession.ExecutionProviderConfig,
  graph: Graph,
  { keepOnDevice = [] }: SessionOptions,
  options: WebRuntimeOptions,
  lost: Promise<string>,
): Promise<Session> {
  const onGpu = provider !== 'wasm'
  const { relocated, externalData } = await weightsOf(graph, options)
  const locations = Object.fromEntries(
    graph.outputs.map(({ name }) => [name, keepOnDevice.includes(name) ? ('gpu-buffer' as const) : ('cpu' as const)]),
  )
  let session: InferenceSession
  try {
    session = await ort.InferenceSession.create(writeOnnx(relocated), {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
      externalData,
      logSeverityLevel: 4,
      ...(onGpu && keepOnDevice.length > 0 && { preferredOutputLocation: locations }),
    })
  } catch (cause) {
    throw runtimeError(`onnxruntime-web does not take graph ${graph.name}: ${messageOf(cause)}`, { cause })
  }
  const gone = lost.then((reason): never => {
    throw gpuLost(reason)
  })
  gone.catch(() => {})
  const breathe = breathing()
  return {
    async run(feeds, outputs = {}) {
      await breathe()
      const placed = memory?.inPlace(feeds) ?? feeds
      const results = await Promise.race([session.run(placed as Record<string, Tensor>), gone])
      for (const [name, place] of Object.entries(outputs)) {
        const result = results[name]!
        ;(place.data as Float32Array).set(result.data as Float32Array)
        result.dispose()
      }
      return { ...results, ...outputs }
    },
    dispose: () => session.release(),
  }
}

export const gpuLost = (reason: string) => runtimeError(`the GPU was lost (${reason}); WASM takes over, ask again`)

/** Each weight as an external file of its own, which is what the engine can be handed. */
async function weightsOf(
  graph: Graph,
  { blob, onBytes, signal }: WebRuntimeOptions,
): Promise<{ relocated: Graph; externalData: { path: string; data: Uint8Array }[] }> {
  const externalData: { path: string; data: Uint8Array }[] = []
  const names = new Map<string, string>()
  const initializers: Graph['initializers'][number][] = []
  for (const { value, data } of graph.initializers) {
    if (data instanceof Uint8Array) {
      initializers.push({ value, data })
      continue
    }
    const place = placeOf(data)
    let path = names.get(place)
    if (path === undefined) {
      signal?.throwIfAborted()
      path = `w${names.size}`
      names.set(place, path)
      externalData.push({ path, data: await readPlace(data, blob) })
      onBytes?.(data.byteLength)
    }
    initializers.push({ value, data: { path, offset: 0, byteLength: data.byteLength } })
  }
  return { relocated: { ...graph, initializers }, externalData }
}

const placeOf = ({ path, offset, byteLength }: ExternalData): string => `${path}\0${offset}\0${byteLength}`
