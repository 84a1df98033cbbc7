/** The Runtime over onnxruntime-node: CPU, WebGPU (bundled) and CUDA (where its libraries are installed). */
import { createRequire } from 'node:module'
import { dirname, relative, sep } from 'node:path'
import process from 'node:process'
import type { Tensor } from 'onnxruntime-common'
import type * as Ort from 'onnxruntime-node'
import { runtimeError, unsupportedError, usageError } from '../errors.ts'
import { type Graph, writeOnnx } from '../graph/index.ts'
import type { Device, Runtime, Session, SessionOptions } from '../runtime/index.ts'
import { type MappedFiles, mappedFiles } from './disk/mapped-files.ts'
import { hasVulkanDriver } from './vulkan-drivers.ts'

export interface OnnxRuntimeOptions {
  /** Default: 'cpu'. */
  readonly device?: Device
  /** Threads of one operator on CPU. Default: as many as the machine has physical cores. */
  readonly threads?: number
}

/**
 * Loads onnxruntime-node, which is an optional peer: who never starts this engine does without it.
 *
 * @throws unsupported error when it is not installed, or its build has no such device; usage error for a command line that it
 *   does not survive
 */
export function onnxRuntime(options: OnnxRuntimeOptions = {}): Runtime {
  const { device = 'cpu', threads } = options
  refuseLongArguments()
  const ort = loadOnnxRuntime()
  const backends = ort.listSupportedBackends()
  if (!backends.some((backend) => backend.name === device)) {
    throw unsupportedError(`device ${device}: this build of ONNX Runtime has only ${backends.map((b) => b.name).join(', ')}`)
  }
  // What it logs of a device that is not there, with source paths and in red, is in the error as well. Read with the first session.
  ort.env.logLevel = 'fatal'
  return {
    device,
    threads,
    async createSession(graph, options = {}) {
      if (device === 'webgpu' && process.platform === 'linux' && !(await hasVulkanDriver(process.env)))
        throw unsupportedError(`device webgpu cannot be used: ${advice.webgpu} (Vulkan finds no driver)`)
      const files = mappedFiles(externalPaths(graph))
      try {
        return wrap(ort, await ort.InferenceSession.create(...describe(graph, options, device, threads)), files)
      } catch (cause) {
        files.close()
        const reason = cause instanceof Error ? cause.message : String(cause)
        // On CPU it is our graph or files that the engine refused; elsewhere nearly always the device is not there.
        if (device === 'cpu') throw runtimeError(`ONNX Runtime does not take graph ${graph.name}: ${reason}`, { cause })
        throw unsupportedError(
          `device ${device} cannot be used: ${advice[device]} (ONNX Runtime says: ${withoutSource(reason)})`,
          { cause },
        )
      }
    },
  }
}

/** Half of what it survived in a thread with the usual stack of 8 MB: 22,000 characters, and not 28,000. */
const longestArguments = 11_000

/**
 * On Linux ONNX Runtime 1.30 matches /proc/self/cmdline against a regular expression that takes a few stack frames for each
 * character: a long argument ends the process with SIGSEGV.
 */
function refuseLongArguments(): void {
  if (process.platform !== 'linux') return
  const { length } = [...process.execArgv, ...process.argv].join(' ')
  if (length <= longestArguments) return
  throw usageError(
    `the command line has ${length} characters, ONNX Runtime takes up to ${longestArguments}; give long texts in a file or on standard input, or use --engine native`,
    { expected: longestArguments, found: length },
  )
}

const { resolve: resolvePackage } = createRequire(import.meta.url)

/** What to type where ONNX Runtime is needed. Its install script fetches CUDA from a host that closed networks do not reach. */
const toInstall = 'npm install --ignore-scripts onnxruntime-node'

/** Why ONNX Runtime is not there and what to add, as one clause; undefined where its package is installed. */
export function onnxRuntimeFault(): string | undefined {
  try {
    resolvePackage('onnxruntime-node')
    return undefined
  } catch {
    return `the package onnxruntime-node is not installed (WebGPU, CUDA and what has no native step need it): ${toInstall}`
  }
}

function loadOnnxRuntime(): typeof Ort {
  const missing = onnxRuntimeFault()
  if (missing !== undefined) throw unsupportedError(missing)
  try {
    return createRequire(import.meta.url)('onnxruntime-node')
  } catch (cause) {
    // As where it has no binary for this platform.
    throw unsupportedError(`the package onnxruntime-node cannot be loaded: ${(cause as Error).message.split('\n')[0]}`, { cause })
  }
}

/** An error of ONNX Runtime without the file, function and condition that begin it. */
const withoutSource = (reason: string): string => reason.trim().replace(/^\/\S+:\d+ .* was false\. /s, '')

const advice = {
  cuda: 'an NVIDIA GPU with CUDA 12 and cuDNN is needed, and its libraries: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild --ignore-scripts=false onnxruntime-node',
  webgpu: 'no adapter was found; a GPU with a Vulkan, Metal or D3D12 driver is needed',
} as const

/**
 * ONNX Runtime maps external data only from below one folder and refuses links that lead out of it, so the folder named
 * is the deepest that holds all (real) paths of the graph.
 */
function describe(
  graph: Graph,
  { planMemory = true, keepOnDevice = [] }: SessionOptions,
  device: Device,
  threads: number | undefined,
): [Uint8Array, Ort.InferenceSession.SessionOptions] {
  const paths = externalPaths(graph)
  const folder = commonFolder(paths)
  const bytes = writeOnnx(graph, { location: (path) => relative(folder, path).split(sep).join('/') })
  return [
    bytes,
    {
      executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
      graphOptimizationLevel: 'all',
      enableMemPattern: planMemory,
      ...(device === 'cpu' || keepOnDevice.length === 0 ? {} : { preferredOutputLocation: locations(graph, keepOnDevice) }),
      logSeverityLevel: 3,
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      extra: {
        session: {
          // Each session has threads of its own. Those of one that has just run would go on spinning and take the cores from
          // the next: SmolLM2 on two cores decoded at 56 ms a token so, at 25 ms with the spinning stopped after each run, and
          // at 32 ms without any spinning (docs/log.md).
          force_spinning_stop: '1',
          ...(paths.length > 0 ? { model_external_initializers_file_folder_path: folder } : {}),
        },
      },
    },
  ]
}

const externalPaths = ({ initializers }: Graph): string[] =>
  initializers.flatMap(({ data }) => (data instanceof Uint8Array ? [] : [data.path]))

function locations(graph: Graph, onDevice: readonly string[]): Record<string, 'cpu' | 'gpu-buffer'> {
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, onDevice.includes(name) ? 'gpu-buffer' : 'cpu']))
}

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0] ?? sep)
  while (!paths.every((path) => path.startsWith(folder.endsWith(sep) ? folder : folder + sep))) {
    const up = dirname(folder)
    if (up === folder) break
    folder = up
  }
  return folder
}

function wrap(ort: typeof Ort, session: Ort.InferenceSession, files: MappedFiles): Session {
  /** The same memory as a tensor of onnxruntime-node. */
  const ownTensor = ({ type, data, dims }: Tensor) => new ort.Tensor(type as 'float32', data as Float32Array, dims)
  const names = session.outputNames
  return {
    run: async (feeds, outputs = {}) => {
      files.mustBeWhole()
      // null: allocated by the engine. Outputs must be of its own class of tensors (core's is the same class in another module).
      const places = names.map((name) => [name, outputs[name] ? ownTensor(outputs[name]) : null])
      return await session.run(feeds as Record<string, Ort.Tensor>, Object.fromEntries(places))
    },
    dispose: () => {
      files.close()
      return session.release()
    },
  }
}
