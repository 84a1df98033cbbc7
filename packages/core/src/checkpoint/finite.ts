/** Refuses weights that are NaN or infinite. Among a stream's parameters the usual cause is that they were never initialised. */
import { checkpointError } from '../errors.ts'
import { castBytes, countNonFinite, readChunks, readF32 } from './read-tensor.ts'
import { dtypeBits, isLoadable, type StoredTensor } from './tensor.ts'
import type { TensorStream } from './tensor-stream.ts'

const streamAdvice = 'train from here with --reset-streams, which draws what streams add anew, or take another checkpoint'
const backboneAdvice = 'the file is damaged or was made of numbers too large for its type; take another checkpoint'

/**
 * @param first the place of `values` in the tensor, in elements
 * @throws checkpoint error naming the tensor and its first element that is not finite, and what to do
 */
export function requireFinite(
  values: Float32Array,
  tensor: string,
  file: string,
  owner: 'stream' | 'backbone' = 'stream',
  first = 0,
): void {
  const at = values.findIndex((x) => !Number.isFinite(x))
  if (at < 0) return
  throw checkpointError(
    `${file}: tensor ${tensor} holds ${values[at]} at element ${first + at}: it was never initialised, or training diverged; ` +
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

/** The same for a tensor of streams on its way from one file to another, whose pieces are looked at as they pass. */
export function finiteStream(stream: TensorStream, file: string): TensorStream {
  if (!isLoadable(stream)) return stream
  const { name, dtype } = stream
  return {
    ...stream,
    async *chunks() {
      let done = 0
      for await (const bytes of stream.chunks()) {
        const wide = countNonFinite(bytes, dtype) > 0 ? castBytes(bytes, dtype, 'F32') : undefined
        if (wide) requireFinite(new Float32Array(wide.buffer, wide.byteOffset, wide.byteLength / 4), name, file, 'stream', done)
        done += bytes.byteLength / (dtypeBits[dtype] / 8)
        yield bytes
      }
    },
  }
}
