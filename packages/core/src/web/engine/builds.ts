/** Which build of onnxruntime-web a browser gets, decided by what it can do. Each is loaded when it is asked for. */
import type * as Ort from 'onnxruntime-common'
import { runtimeError, unsupportedError } from '../../errors.ts'
import { GraphBuilder, writeOnnx } from '../../graph/index.ts'
import { catchModule, type WasmMemory, wasmMemory } from './wasm-memory.ts'

export type OrtModule = typeof Ort

/** jspi: WebGPU, where WASM can wait for promises. webgpu: the same by rewriting the code, half as large again. wasm: CPU. */
export type Build = 'jspi' | 'webgpu' | 'wasm'

export type Backend = 'webgpu' | 'wasm'

export const buildFor = (backend: Backend): Build =>
  backend === 'wasm' ? 'wasm' : 'Suspending' in WebAssembly ? 'jspi' : 'webgpu'

const imports: Readonly<Record<Build, () => Promise<unknown>>> = {
  jspi: () => import('onnxruntime-web/jspi'),
  webgpu: () => import('onnxruntime-web/webgpu'),
  wasm: () => import('onnxruntime-web/wasm'),
}

export interface BuildOptions {
  readonly threads: number
  readonly runtimeFiles?: string | undefined
}

export interface StartedBuild {
  readonly ort: OrtModule
  /** Of the WASM build, where its module could be caught. */
  readonly memory: WasmMemory | undefined
}

const started = new Map<Build, Promise<StartedBuild>>()

/**
 * Loads a build. Its WASM module starts once in a thread, with the settings of the first call: that of `wasm` at once, which fetches
 * and compiles it, the others' with the first session, which brings the GPU.
 *
 * @throws unsupported error where onnxruntime-web is not there; runtime error where its module does not start
 */
export function startBuild(build: Build, options: BuildOptions): Promise<StartedBuild> {
  const before = started.get(build)
  if (before) return before
  const begun = start(build, options)
  started.set(build, begun)
  begun.catch(() => started.delete(build))
  return begun
}

async function start(build: Build, options: BuildOptions): Promise<StartedBuild> {
  const ort = await loadBuild(build, options)
  if (build !== 'wasm') return { ort, memory: undefined }
  try {
    const { made, module } = await catchModule(() =>
      ort.InferenceSession.create(smallest(), { executionProviders: ['wasm'], logSeverityLevel: 4 }),
    )
    await made.release()
    return { ort, memory: wasmMemory(ort, module) }
  } catch (cause) {
    throw runtimeError(`onnxruntime-web/${build} does not start: ${messageOf(cause)}`, { cause })
  }
}

/** A graph that makes a module start. */
function smallest(): Uint8Array {
  const g = new GraphBuilder('smallest')
  const x = g.input('x', 'float32', [1])
  g.output(g.add(x, x), 'y')
  return writeOnnx(g.build())
}

export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).trim()

/** @throws unsupported error where onnxruntime-web is not there */
async function loadBuild(build: Build, { threads, runtimeFiles }: BuildOptions): Promise<OrtModule> {
  const ort = (await imports[build]().catch((cause) => {
    throw unsupportedError(
      `onnxruntime-web/${build} cannot be loaded (${(cause as Error).message}); install onnxruntime-web beside @parscale/core`,
      { cause },
    )
  })) as OrtModule
  ort.env.logLevel = 'fatal'
  ort.env.wasm.numThreads = threads
  if (runtimeFiles !== undefined) ort.env.wasm.wasmPaths = runtimeFiles
  return ort
}
