/** What a grammar, a schema or a list of answers says about the next token of one request. */
import type { Constraint } from './sampling.ts'

/** Ids as bits: id `i` is bit `i % 32` of word `i / 32`. Ids beyond the last word are not allowed. */
export interface TokenConstraint {
  /** [vocabulary / 32], of the tokens that may come next; ends of text among them where the text may end. A view, until `accept`. */
  allowed(): Uint32Array
  /** Takes a token that was drawn. */
  accept(token: number): void
  /** Nothing can follow: the request ends. */
  readonly done: boolean
}

/** As the sampler asks it: scores of what is not allowed become -Infinity. */
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
