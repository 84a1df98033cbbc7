/** Which engine trains: steps of our own on CPUs, and ONNX Runtime on devices and for the graphs that the first does not take. */
import { isParscaleError } from '@parscale/core/internal'
import { type OnnxRuntimeOptions, onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'
import type { Io } from '../terminal/io.ts'

/**
 * Says once why ONNX Runtime runs on a CPU.
 *
 * @throws where neither engine is there: what to add
 */
export async function trainingRuntime(options: OnnxRuntimeOptions, io: Pick<Io, 'stderr'>): Promise<Runtime> {
  if (options.device !== undefined && options.device !== 'cpu') return onnxRuntime(options)
  const found = await findNative(options)
  let told = false
  const instead = (reason: string): Runtime => {
    const runtime = onnxRuntime(options)
    if (!told) io.stderr(`training on ONNX Runtime: ${reason}\n`)
    told = true
    return runtime
  }
  if ('reason' in found) return instead(found.reason)
  return {
    ...found,
    sessionBytes(graph) {
      try {
        return found.sessionBytes?.(graph)
      } catch (error) {
        if (isUnsupported(error)) return undefined // another engine will run it
        throw error
      }
    },
    async createSession(graph, sessionOptions) {
      try {
        return await found.createSession(graph, sessionOptions)
      } catch (error) {
        if (!isUnsupported(error)) throw error
        return await instead(error.message).createSession(graph, sessionOptions)
      }
    },
  }
}

const isUnsupported = (error: unknown): error is Error => isParscaleError(error) && error.kind === 'unsupported'

/** An optional dependency, with a module for this platform or without. */
async function findNative({ threads }: OnnxRuntimeOptions): Promise<Runtime | { readonly reason: string }> {
  try {
    const { nativeModule, nativeRuntime } = await import('@parscale/native')
    const loaded = nativeModule()
    return 'module' in loaded ? nativeRuntime(threads === undefined ? {} : { threads }) : loaded
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return { reason: 'the package @parscale/native is not installed' }
  }
}
