/** The native step as a kind of decoder: which models it runs, and how much memory it needs. */

import type { DecoderKind } from '@parscale/core/internal/generation'
import { stepMemory } from '@parscale/core/internal/packed'
import { keptBytes, type NativeDecoderOptions, nativeDecoder, nativeRefusal, prepareModel } from './native-decoder.ts'
import { instructionSets, refusedInstructionSet } from './native-model.ts'
import { nativeModule } from './native-module.ts'

export const nativeDecoders: DecoderKind<NativeDecoderOptions> = {
  name: 'native',
  readsOnce: true,
  looksAtNumbers: true,
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
  memory: stepMemory,
  prepare: prepareModel,
  keptBytes,
  open: nativeDecoder,
}
