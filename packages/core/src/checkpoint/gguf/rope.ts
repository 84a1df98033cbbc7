/**
 * Rotary scaling in GGUF files. Llama 3's is not in the metadata: llama.cpp stores the divisor of every frequency in the
 * tensor rope_freqs.weight. Published models use few parameter sets, so the set is found again by applying each and
 * comparing every frequency.
 */
import { unsupportedError } from '../../errors.ts'
import type { RopeScaling } from '../../model/config.ts'
import { inverseFrequencies } from '../../model/rope.ts'

type Llama3 = Extract<RopeScaling, { type: 'llama3' }>

/** Llama 3.1 and 3.3 (factor 8), Llama 3.2 (factor 32); config.json of meta-llama/Llama-3.1-8B and Llama-3.2-1B. */
const published: readonly Llama3[] = [8, 32].map((factor) => ({
  type: 'llama3',
  factor,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
}))

/** Both sides compute in float32, whose relative step is 6e-8; powers and pi may differ by a few steps. */
const tolerance = 1e-5

/**
 * The scaling whose divisors these are.
 *
 * @param divisors [headDim / 2], the tensor rope_freqs.weight
 * @throws unsupported error when they are not those of a published model
 */
export function recogniseRopeFreqs(divisors: Float32Array, ropeTheta: number, file: string): RopeScaling {
  if (divisors.every((divisor) => divisor === 1)) return { type: 'default' }
  const headDim = 2 * divisors.length
  const plain = inverseFrequencies({ headDim, ropeTheta, ropeScaling: { type: 'default' } })
  const match = published.find((ropeScaling) => {
    const scaled = inverseFrequencies({ headDim, ropeTheta, ropeScaling })
    return divisors.every((divisor, i) => Math.abs(scaled[i]! * divisor - plain[i]!) <= tolerance * plain[i]!)
  })
  if (match) return match
  throw unsupportedError(
    `${file}: tensor rope_freqs.weight holds rotary divisors that are not those of Llama 3.1 or 3.2 (llama3 scaling, factor 8 or 32), so config.json cannot express them`,
    { file, tensor: 'rope_freqs.weight' },
  )
}
