/** Which build of onnxruntime-web a browser gets, decided by what it can do. Each is loaded when it is asked for. */
import type * as Ort from 'onnxruntime-common'
import { unsupportedError } from '../../errors.ts'

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

/**
 * Loads a build. Its WASM module starts with the first session, with the settings of the first call: there is one in a thread.
 *
 * @throws unsupported error where onnxruntime-web is not there
 */
export async function loadBuild(build: Build, { threads, runtimeFiles }: BuildOptions): Promise<OrtModule> {
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
