/** Which engine trains: steps of our own on CPUs, and ONNX Runtime on devices and for the graphs that the first does not take. */
import { isParscaleError } from '@parscale/core/internal'
import { type OnnxRuntimeOptions, onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'

/** @throws where neither engine is there: what to add */
export async function trainingRuntime(options: OnnxRuntimeOptions): Promise<Runtime> {
  const native = options.device === undefined || options.device === 'cpu' ? await findNative(options) : undefined
  if (!native) return onnxRuntime(options)
  return {
    ...native,
    async createSession(graph, sessionOptions) {
      try {
        return await native.createSession(graph, sessionOptions)
      } catch (error) {
        if (!isParscaleError(error) || error.kind !== 'unsupported') throw error
        return await onnxRuntime(options).createSession(graph, sessionOptions)
      }
    },
  }
}

/** An optional dependency, with a module for this platform or without. */
async function findNative({ threads }: OnnxRuntimeOptions): Promise<Runtime | undefined> {
  try {
    const { nativeModule, nativeRuntime } = await import('@parscale/native')
    return 'module' in nativeModule() ? nativeRuntime(threads === undefined ? {} : { threads }) : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return undefined
  }
}
