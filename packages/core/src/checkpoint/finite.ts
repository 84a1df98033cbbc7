/** Refuses weights that are NaN or infinite. The usual cause is a stream's parameters that were never initialised. */
import { checkpointError } from '../errors.ts'
import { countNonFinite, readChunks, readF32 } from './read-tensor.ts'
import type { StoredTensor } from './tensor.ts'

/** @throws checkpoint error naming the tensor and its first element that is not finite, and what to do */
export function requireFinite(values: Float32Array, tensor: string, file: string): void {
  const at = values.findIndex((x) => !Number.isFinite(x))
  if (at < 0) return
  throw checkpointError(
    `${file}: tensor ${tensor} holds ${values[at]} at element ${at}: it was never initialised, or training diverged; ` +
      'train from here with --reset-streams, which draws what streams add anew, or take another checkpoint',
    { file, tensor, expected: 'finite numbers', found: values[at] },
  )
}

/** The same for a tensor that stays in its file: it is read in pieces, and whole only to say what is wrong. */
export async function requireFiniteStored(tensor: StoredTensor, file: string): Promise<void> {
  for await (const bytes of readChunks(tensor)) {
    if (countNonFinite(bytes, tensor.dtype) > 0) return requireFinite(await readF32(tensor), tensor.name, file)
  }
}
