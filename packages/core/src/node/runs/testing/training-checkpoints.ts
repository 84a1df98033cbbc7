/** Small training checkpoints for tests. */
import type { TrainingCheckpoint } from '../checkpoint-files.ts'

/** Three parameters, of which two are being trained. All numbers follow from the step. */
export function checkpointAt(step: number, loss?: number): TrainingCheckpoint {
  const tensors = [
    { name: 'model.embed_tokens.weight', shape: [8, 4] },
    { name: 'model.layers.0.self_attn.prefix_k', shape: [2, 1, 3, 4] },
    { name: 'model.norm.weight', shape: [5] },
  ]
  const arrays = (scale: number, from = 0) =>
    new Map(
      tensors.slice(from).map(({ name, shape }, t) => {
        const size = shape.reduce((a, b) => a * b, 1)
        return [name, Float32Array.from({ length: size }, (_, i) => Math.sin(step + scale * (i + t)))]
      }),
    )
  return {
    step,
    ...(loss !== undefined && { loss }),
    state: { stage: 1, tokens: step * 4096, smoothedLoss: Math.sqrt(step) },
    tensors,
    parameters: arrays(1),
    m: arrays(2, 1),
    v: arrays(3, 1),
  }
}
