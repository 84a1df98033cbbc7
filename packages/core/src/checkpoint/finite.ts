/** Refuses weights that are NaN or infinite. Among a stream's parameters the usual cause is that they were never initialised. */
import { checkpointError } from '../errors.ts'
import { countNonFinite, readChunks, readF32 } from './read-tensor.ts'
import type { StoredTensor } from './tensor.ts'

const streamAdvice = 'train from here with --reset-streams, which draws what streams add anew, or take another checkpoint'
const backboneAdvice = 'the file is damaged or was made of numbers too large for its type; take another checkpoint'

/** @throws checkpoint error naming the tensor and its first element that is not finite, and what to do */
export function requireFinite(values: Float32Array, tensor: string, file: string, owner: 'stream' | 'backbone' = 'stream'): void {
  const at = values.findIndex((x) => !Number.isFinite(x))
  if (at < 0) return
  throw checkpointError(
    `${file}: tensor ${tensor} holds ${values[at]} at element ${at}: it was never initialised, or training diverged; ` +
      (owner === 'stream' ? streamAdvice : backboneAdvice),
    { file, tensor, expected: 'finite numbers', found: values[at] },
  )
}

/** The same for a tensor that stays in its file: it is read in pieces, and whole only to say what is wrong. */
export async function requireFiniteStored(tensor: StoredTensor, file: string, owner?: 'stream' | 'backbone'): Promise<void> {
  for await (const bytes of readChunks(tensor)) {
    if (countNonFinite(bytes, tensor.dtype) > 0) return requireFinite(await readF32(tensor), tensor.name, file, owner)
  }
}
