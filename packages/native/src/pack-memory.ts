/**
 * Weights that the native step takes from the model's own files, and packs in memory each time: a GGUF file's blocks, whose integers and
 * scales are only put in another order. So such a model lies on the disk once.
 */
import { checkpointError } from '@parscale/core/internal'
import { isQuantised, type StoredRows } from '@parscale/core/internal/model'
import { parscaleError } from './native-errors.ts'
import type { NativeModule, PackedHandle } from './native-module.ts'
import type { PackOptions } from './pack.ts'
import type { PackedTensor, PackPlan } from './pack-plan.ts'

/** Where all tensors of a plan lie as they are stored. */
export interface MemoryPlan {
  readonly plan: PackPlan
  /** In the order of the plan's tensors. */
  readonly rows: readonly StoredRows[]
}

/** Undefined where a tensor has to be rounded or decoded, or lies in a file that is mapped anyhow. */
export function memoryPlan(plan: PackPlan): MemoryPlan | undefined {
  const rows: StoredRows[] = []
  for (const tensor of plan.tensors) {
    const found = rowsOf(tensor)
    if (!found) return undefined
    rows.push(found)
  }
  return { plan, rows }
}

/** Of a part of a fused matrix its own first row. */
function rowsOf({ stored, layout: { inputs } }: PackedTensor): StoredRows | undefined {
  const { data } = stored
  const rows = data.made?.rows
  if (!rows) return undefined
  const rowBytes = isQuantised(stored) ? (inputs * stored.bits) / 8 : inputs * (stored.dtype === 'float32' ? 4 : 2)
  const first = data.offset / rowBytes
  if (rows.interleaved > 0 && first % rows.interleaved !== 0) return undefined
  return { ...rows, offset: rows.offset + first * rows.rowBytes }
}

/** How often what packs is asked how far it is. */
const askMs = 50

/**
 * @param options as of writePacked
 * @throws checkpoint error where a file ends within a tensor or a scale is not finite; resource error where memory runs out; the signal's
 *   reason when aborted
 */
export async function packInMemory(
  native: NativeModule,
  { plan, rows }: MemoryPlan,
  threads: number,
  { onProgress, signal }: PackOptions,
): Promise<PackedHandle> {
  signal?.throwIfAborted()
  const { tensors, header, offsets, totalBytes } = plan
  const files = [...new Set(rows.map(({ path }) => path))]
  const numbers = tensors.flatMap(({ layout: { isVector, outputs, inputs } }, i) => {
    const { path, offset, type, interleaved } = rows[i]!
    return [offsets[i]!, isVector ? 1 : 0, outputs, inputs, type, files.indexOf(path), offset, interleaved]
  })
  const progress = new Int32Array(new SharedArrayBuffer(8))
  const stop = () => Atomics.store(progress, 1, 1)
  signal?.addEventListener('abort', stop)
  const asking = setInterval(
    () => onProgress?.({ doneBytes: Math.min(totalBytes - 1, 1024 * Atomics.load(progress, 0)), totalBytes }),
    askMs,
  )
  try {
    return await native.packInMemory(files, header, Float64Array.from([threads, totalBytes, ...numbers]), progress)
  } catch (error) {
    signal?.throwIfAborted()
    throw packingError(error, tensors, files[0]!)
  } finally {
    clearInterval(asking)
    signal?.removeEventListener('abort', stop)
  }
}

function packingError(error: unknown, tensors: readonly PackedTensor[], file: string): Error {
  const { code, message } = error as { code?: string; message: string }
  if (code === 'ERR_SOURCE_FILE')
    return checkpointError(`${message}; the file is damaged or still being written`, { file, cause: error })
  if (code !== 'ERR_NOT_FINITE') return parscaleError(error)
  const { role, layer } = tensors[Number(message)]!.layout
  const tensor = `${role} of layer ${layer}`
  return checkpointError(`${file}: tensor ${tensor} holds a scale that is not finite; the file is damaged`, {
    file,
    tensor,
    cause: error,
  })
}
