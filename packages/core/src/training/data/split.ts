/** The held-out split: which documents are kept from training, to measure on. */
import { usageError } from '../../errors.ts'
import { splitMix64 } from '../../random.ts'

export interface SplitOptions {
  /** Share of documents that are held out, from 0 to below 1. */
  readonly heldOutFraction: number
  /** Another seed holds out other documents. */
  readonly seed: number
}

/**
 * A function that says of a document's digest whether it is held out. Only content and seed decide: a document stays on its
 * side when others are added, and copies of it are on the same side.
 *
 * @throws usage error for a fraction out of range or a seed that is no integer
 */
export function heldOutSplit({ heldOutFraction, seed }: SplitOptions): (digest: bigint) => boolean {
  if (!(heldOutFraction >= 0 && heldOutFraction < 1)) {
    throw usageError(`held-out fraction: expected from 0 to below 1, got ${heldOutFraction}`, {
      flag: 'heldOutFraction',
      found: heldOutFraction,
    })
  }
  if (!Number.isSafeInteger(seed)) throw usageError(`seed must be an integer up to 2^53, got ${seed}`, { flag: 'seed' })
  const key = splitMix64(BigInt(seed))()
  const limit = BigInt(Math.round(heldOutFraction * 2 ** 53)) << 11n
  return (digest) => splitMix64(digest ^ key)() < limit
}
