/**
 * From a checkpoint to what the native step reads: straight from its files, on all threads, in one pass. Where the file's own numbers are
 * only put in another order, in memory at each start, so that a model lies on the disk once; where they are rounded or widened, into a
 * packed file that is made once.
 */
import { toNamespacedPath } from 'node:path'
import { checkpointError, unsupportedError } from '@parscale/core/internal'
import { blockFormats } from '@parscale/core/internal/checkpoint'
import { isQuantised, type PlainWeight, type QuantisedWeight, type StoredData } from '@parscale/core/internal/model'
import { discard, writeNewFile } from '@parscale/core/internal/node/disk'
import { formats, type PackedTensor, type PackPlan } from '@parscale/core/internal/packed'
import { parscaleError } from './native-errors.ts'
import { type PackedHandle, requireModule } from './native-module.ts'

export interface PackOptions {
  readonly onProgress?: ((progress: { doneBytes: number; totalBytes: number }) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Of stored-rows.h, beside ggml's. */
const integerTypes = { 4: 1004, 8: 1008 } as const
const floatTypes: Partial<Record<string, number>> = {
  float32: blockFormats.F32.id,
  float16: blockFormats.F16.id,
  bfloat16: blockFormats.BF16.id,
}
/** Of pack-memory.h. */
const zeroPointTypes = { none: 0, float32: 1, uint8: 2 } as const

interface Place {
  readonly path: string
  readonly offset: number
}

/** Where a tensor lies, and how. */
interface Source extends Place {
  readonly type: number
  readonly interleaved: number
  readonly scales?: Place
  readonly zeroPoints?: Place & { readonly dtype: 'uint8' | 'float32' }
}

/** A folder's weights that are packed at each start: two busy cores take 0.5 s for 1.9 GB. For more a mapped file is worth its room. */
const mostFolderBytes = 2 * 2 ** 30

/**
 * Whether a plan is packed in memory at each start, and nothing is kept: its tensors lie in files as they are needed, so that nothing is
 * rounded or widened. Of GGUF files all; of folders up to 2 GiB.
 */
export function isPackedInMemory({ tensors, totalBytes }: PackPlan): boolean {
  if (tensors.some(({ stored }) => stored.data.made?.changedRows)) return false
  return totalBytes <= mostFolderBytes || tensors.every(({ stored }) => stored.data.made?.rows)
}

/** @throws unsupported error for float types that no kernel reads */
function sourceOf({ stored, layout: { inputs } }: PackedTensor): Source {
  const { data } = stored
  const rows = data.made?.rows ?? data.made?.changedRows
  if (rows) {
    // Of a part of a fused matrix its own first row.
    const first = data.offset / (isQuantised(stored) ? (inputs * stored.bits) / 8 : inputs * floatBytes(stored))
    if (rows.interleaved > 0 && first % rows.interleaved !== 0) throw new TypeError(`${data.path}: a tensor begins within a head`)
    return { ...rows, offset: rows.offset + first * rows.rowBytes }
  }
  if (data.made) throw new TypeError(`${data.path}: a tensor is made of what lies in no file`)
  return isQuantised(stored) ? integersOf(stored) : { ...placeOf(data), type: floatType(stored), interleaved: 0 }
}

function integersOf({ bits, data, scales, zeroPoints }: QuantisedWeight): Source {
  const zeros = zeroPoints && { zeroPoints: { ...placeOf(zeroPoints.data), dtype: zeroPoints.dtype } }
  return { ...placeOf(data), type: integerTypes[bits], interleaved: 0, scales: placeOf(scales), ...zeros }
}

const placeOf = ({ path, offset }: StoredData): Place => ({ path, offset })

function floatType({ dtype, data }: PlainWeight): number {
  const type = floatTypes[dtype]
  if (type !== undefined) return type
  throw unsupportedError(`${data.path}: a weight is stored as ${dtype}; the native step reads float32, float16 and bfloat16`)
}

const floatBytes = (weight: PlainWeight): number => (floatType(weight) === blockFormats.F32.id ? 4 : 2)

/**
 * Packs a plan in memory.
 *
 * @throws checkpoint error where a file ends within a tensor, or a number is not finite that has to be rounded; resource error where memory
 *   runs out; unsupported error for float types that no kernel reads; the signal's reason when aborted
 */
export async function packInMemory(plan: PackPlan, threads: number, options: PackOptions = {}): Promise<PackedHandle> {
  return (await pack(plan, threads, undefined, options)) as PackedHandle
}

/**
 * Writes the packed file of a plan, and flushes it.
 *
 * @param path must not be there; is not there either when this fails
 * @throws as packInMemory, and the file system's errors
 */
export async function writePacked(path: string, plan: PackPlan, threads: number, options: PackOptions = {}): Promise<void> {
  try {
    await writeNewFile(path, async (_, file) => {
      await pack(plan, threads, path, options)
      await file.truncate(plan.totalBytes) // the last tensor may end before
    })
  } catch (error) {
    await discard(path)
    throw error
  }
}

/** How often what packs is asked how far it is. */
const askMs = 50

async function pack(
  { tensors, header, offsets, totalBytes }: PackPlan,
  threads: number,
  target: string | undefined,
  { onProgress, signal }: PackOptions,
): Promise<PackedHandle | undefined> {
  signal?.throwIfAborted()
  const files: string[] = []
  const numbers = [threads, totalBytes]
  const fileOf = (path: string) => {
    if (!files.includes(path)) files.push(path)
    return files.indexOf(path)
  }
  const placed = (place: Place | undefined) => (place ? [fileOf(place.path), place.offset] : [0, 0])
  for (const [i, tensor] of tensors.entries()) {
    const { isVector, outputs, inputs, format, blockSize, hasMinima } = tensor.layout
    const source = sourceOf(tensor)
    numbers.push(offsets[i]!, isVector ? 1 : 0, outputs, inputs, formats[format], blockSize, hasMinima ? 1 : 0)
    numbers.push(source.type, ...placed(source), source.interleaved, ...placed(source.scales))
    numbers.push(zeroPointTypes[source.zeroPoints?.dtype ?? 'none'], ...placed(source.zeroPoints))
  }
  const progress = new Int32Array(new SharedArrayBuffer(8))
  const stop = () => Atomics.store(progress, 1, 1)
  signal?.addEventListener('abort', stop)
  const asking = setInterval(
    () => onProgress?.({ doneBytes: Math.min(totalBytes - 1, 1024 * Atomics.load(progress, 0)), totalBytes }),
    askMs,
  )
  try {
    const packed = await requireModule().pack(
      files,
      header,
      Float64Array.from(numbers),
      progress,
      target && toNamespacedPath(target),
    )
    onProgress?.({ doneBytes: totalBytes, totalBytes })
    return packed
  } catch (error) {
    signal?.throwIfAborted()
    throw await packingError(error as Error & { code?: string }, tensors, files, target)
  } finally {
    clearInterval(asking)
    signal?.removeEventListener('abort', stop)
  }
}

async function packingError(
  error: Error & { code?: string },
  tensors: readonly PackedTensor[],
  files: readonly string[],
  target: string | undefined,
): Promise<Error> {
  const { code = '', message } = error
  if (code === 'ERR_SOURCE_FILE')
    return checkpointError(`${message}; the file is damaged or still being written`, { file: files[0], cause: error })
  if (target !== undefined && (/^E[A-Z]+$/.test(code) || code === 'ERR_TARGET_FILE'))
    return Object.assign(error, { syscall: 'write', path: target })
  if (code !== 'ERR_NOT_FINITE') return parscaleError(error)
  const { layout, stored } = tensors[Number(message)]!
  const file = sourceOf(tensors[Number(message)]!).path
  return (
    (await firstFault(stored.data)) ??
    checkpointError(
      `${file}: tensor ${layout.role} of layer ${layout.layer} holds a scale that is not finite; the file is damaged`,
      {
        file,
        tensor: `${layout.role} of layer ${layout.layer}`,
        cause: error,
      },
    )
  )
}

const bytesAtOnce = 1 << 20

/** What is wrong with a tensor by who makes it in JavaScript, which knows the tensor's name and the number of the element. */
async function firstFault({ made, offset, byteLength }: StoredData): Promise<Error | undefined> {
  try {
    for (let at = 0; made && at < byteLength; at += bytesAtOnce)
      await made.read(offset + at, Math.min(bytesAtOnce, byteLength - at))
    return undefined
  } catch (error) {
    return error as Error
  }
}
