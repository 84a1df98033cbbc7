/** The native step as a kind of decoder: which models it runs, and how much memory it needs. */

import { quantisedBytes } from '@parscale/core/internal/checkpoint'
import type { DecoderKind } from '@parscale/core/internal/generation'
import { elementCount, estimateMemory, type MemoryEstimate, type MemoryQuestion } from '@parscale/core/internal/model'
import { type NativeDecoderOptions, nativeDecoder, nativeRefusal, prepareModel } from './native-decoder.ts'
import { instructionSets, refusedInstructionSet } from './native-model.ts'
import { nativeModule } from './native-module.ts'

export const nativeDecoders: DecoderKind<NativeDecoderOptions> = {
  name: 'native',
  readsOnce: true,
  get runsWith() {
    const [best] = instructionSets()
    const refused = refusedInstructionSet()
    return refused === undefined ? best : `${best}, as the system refuses ${refused}`
  },
  refusal(configs, { device = 'cpu' }) {
    if (device !== 'cpu') return { kind: 'usage', reason: `the native step runs on the CPU only, not on ${device}` }
    const loaded = nativeModule()
    const reason = 'reason' in loaded ? loaded.reason : nativeRefusal(configs)
    if (reason !== undefined) return { kind: 'unsupported', reason }
    if (instructionSets()[0] !== 'portable') return undefined
    return { kind: 'slow', reason: 'the native step has no instruction set for this CPU' }
  },
  memory: nativeMemory,
  prepare: prepareModel,
  open: nativeDecoder,
}

/** Weights are held as they are packed: quantised ones and bfloat16 as stored, others as float32. */
export function nativeMemory(question: MemoryQuestion): MemoryEstimate {
  const { config, tensors, rowTokens } = question
  const heldBytes = quantisedBytes(tensors)
  for (const [name, { dtype, shape }] of tensors) if (dtype === 'BF16') heldBytes.set(name, 2 * elementCount(shape))
  // Gate and up, a few residuals, queries, keys and values; logits. Scores are a page at a time.
  const floats = rowTokens * (2 * config.intermediateSize + 6 * config.hiddenSize) + 2 * config.vocabSize
  return estimateMemory(question, { heldBytes, activationBytes: 4 * floats, packsAtLoad: false })
}
