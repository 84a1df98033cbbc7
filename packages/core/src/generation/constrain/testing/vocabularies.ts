/** Vocabularies for tests and benches. */
import { createRandom } from '../../../random.ts'
import type { Tokenizer } from '../../../tokenizer/types.ts'

/**
 * The tokenizer with more tokens, up to `size`: each is two of its own in a row, as merges make them. `encode` does not use
 * them.
 */
export function enlarged(tokenizer: Tokenizer, size: number, seed = 0): Tokenizer {
  const random = createRandom(seed)
  const own = tokenizer.vocabSize
  const made: Uint8Array[] = []
  const seen = new Set<string>()
  while (own + made.length < size) {
    const [a, b] = [random.below(own), random.below(own)].map((id) => tokenizer.tokenBytes(id))
    if (!a || !b || a.length + b.length > 16) continue
    const bytes = Uint8Array.of(...a, ...b)
    if (seen.has(bytes.join())) continue
    seen.add(bytes.join())
    made.push(bytes)
  }
  return {
    ...tokenizer,
    vocabSize: Math.max(own, size),
    tokenBytes: (id) => (id < own ? tokenizer.tokenBytes(id) : made[id - own]),
  }
}
