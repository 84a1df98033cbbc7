/** New parameters that were never initialised are the commonest damage of parallel-scaled checkpoints. */
import { checkpointError } from '../errors.ts'

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
