import type { ByteSink } from '../safetensors-writer.ts'
import { join } from './bytes.ts'

/** A sink that keeps everything; `bytes` puts it together. */
export function memorySink(): ByteSink & { bytes(): Uint8Array } {
  const parts: Uint8Array[] = []
  return {
    async write(bytes) {
      // A copy, as a sink may not hold on to what it is given.
      parts.push(bytes.slice())
    },
    bytes: () => join(...parts),
  }
}
