/** What a packed model takes while it runs. */
import { quantisedBytes } from '../checkpoint/index.ts'
import { elementCount, estimateMemory, type MemoryEstimate, type MemoryQuestion } from '../model/index.ts'

/** Weights are held as they are packed: quantised ones and bfloat16 as stored, others as float32. */
export function stepMemory(question: MemoryQuestion): MemoryEstimate {
  const { config, tensors, rowTokens } = question
  const heldBytes = quantisedBytes(tensors)
  for (const [name, { dtype, shape }] of tensors) if (dtype === 'BF16') heldBytes.set(name, 2 * elementCount(shape))
  // Gate and up, a few residuals, queries, keys and values; logits. Scores are a page at a time.
  const floats = rowTokens * (2 * config.intermediateSize + 6 * config.hiddenSize) + 2 * config.vocabSize
  return estimateMemory(question, { heldBytes, activationBytes: 4 * floats, packsAtLoad: false })
}
