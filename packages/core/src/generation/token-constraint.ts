/** A request's constraint as the sampler asks it. */
import type { TokenConstraint } from './constrain/index.ts'
import type { Constraint } from './sampling.ts'

/** Scores of what is not allowed become -Infinity. */
export const constraintMask = (constraint: TokenConstraint): Constraint => ({
  mask(scores) {
    const allowed = constraint.allowed()
    for (let word = 0; 32 * word < scores.length; word++) {
      const bits = word < allowed.length ? allowed[word]! : 0
      if (bits === 0xffffffff) continue
      const end = Math.min(32, scores.length - 32 * word)
      for (let bit = 0; bit < end; bit++) if (!((bits >>> bit) & 1)) scores[32 * word + bit] = -Infinity
    }
  },
})
