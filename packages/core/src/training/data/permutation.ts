/**
 * Shuffling without a list: where an index goes is computed, so that an epoch of any length costs no memory and can be entered
 * anywhere. A Feistel network permutes the integers of an even number of bits; results beyond the end are permuted again
 * until they lie within ("cycle walking": J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
 */
import { usageError } from '../../errors.ts'
import { createRandom } from '../../random.ts'

/** Four make a network look random; more are needed where the halves have few bits. */
const rounds = 8

/**
 * A permutation of 0 ... length - 1, decided by seed and epoch.
 *
 * @throws usage error for a length beyond 2^32
 */
export function permutation(length: number, seed: number, epoch: number): (index: number) => number {
  if (!(Number.isInteger(length) && length >= 0 && length <= 2 ** 32)) {
    throw usageError(`shuffling: expected up to 2^32 sequences, got ${length}; make them longer`, { found: length })
  }
  // An epoch has a generator of its own, whose seed is far from those of other seeds' epochs.
  const random = createRandom(createRandom(seed).uint32() * 2 ** 20 + epoch)
  const keys = Array.from({ length: rounds }, () => random.uint32())
  let halfBits = 1
  while (4 ** halfBits < length) halfBits++
  const mask = 2 ** halfBits - 1

  return (index) => {
    let result = index
    do {
      let [left, right] = [Math.floor(result / 2 ** halfBits), result & mask]
      for (const key of keys) [left, right] = [right, left ^ (mix(right ^ key) & mask)]
      result = left * 2 ** halfBits + right
    } while (result >= length)
    return result
  }
}

/** The finaliser of MurmurHash3: every bit of the input changes every bit of the output. */
function mix(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
