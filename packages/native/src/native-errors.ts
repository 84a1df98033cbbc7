/** Errors of the native module as ours. */
import { checkpointError, type ParscaleError, resourceError, runtimeError, usageError } from '@parscale/core/internal'

/** What a call throws, as a ParscaleError. */
export function named<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw parscaleError(error)
  }
}

const kinds: Readonly<Record<string, typeof usageError>> = {
  ERR_USAGE: usageError,
  ERR_PACKED_FILE: checkpointError,
  ERR_OUT_OF_MEMORY: resourceError,
}

export function parscaleError(error: unknown): ParscaleError {
  const { code, message } = error as { code?: string; message: string }
  return (kinds[code ?? ''] ?? runtimeError)(`native step: ${message}`, { cause: error })
}
