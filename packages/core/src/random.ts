/**
 * Seeded random numbers: the same seed gives the same stream on every platform, because everything is integer arithmetic.
 *
 * The generator is xoshiro128** 1.1, seeded by SplitMix64 as its authors advise (D. Blackman, S. Vigna, "Scrambled linear
 * pseudorandom number generators", ACM TOMS 47(4), 2021; https://prng.di.unimi.it). Not for cryptography.
 */
import { usageError } from './errors.ts'

/** A seeded source of random numbers. */
export interface Random {
  /** Uniform integer in [0, 2^32). */
  uint32(): number
  /** Uniform in [0, 1), a multiple of 2^-53. Uses two draws. */
  uniform(): number
  /** Uniform integer in [0, bound); bound in 1 ... 2^32. Unbiased. */
  below(bound: number): number
  /** Standard normal, by Box and Muller. Math.log and Math.cos may differ between engines in the last bit. */
  normal(): number
}

/**
 * A random number generator that gives the same numbers on every platform.
 *
 * @param seed a safe integer; negative ones are taken modulo 2^64. Throws a usage error otherwise.
 */
export function createRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed))
    throw usageError(`seed must be an integer up to 2^53, got ${seed}`, { flag: 'seed', found: seed })
  const nextSeed = splitMix64(BigInt(seed))
  const [low, high] = [nextSeed(), nextSeed()]
  return xoshiro128StarStar([low & mask32, low >> 32n, high & mask32, high >> 32n].map(Number))
}

const mask32 = 0xffffffffn

/** Successive 64-bit outputs of SplitMix64 from a seed. */
export function splitMix64(seed: bigint): () => bigint {
  let state = BigInt.asUintN(64, seed)
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = state
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return z ^ (z >> 31n)
  }
}

/** xoshiro128** from its four state words, which must not all be zero. */
export function xoshiro128StarStar(state: readonly number[]): Random {
  let [s0, s1, s2, s3] = state.map((word) => word >>> 0) as [number, number, number, number]

  function uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0
    const t = s1 << 9
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = rotateLeft(s3, 11)
    return result
  }

  const uniform = () => ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) * 2 ** -53 // 27 high bits, then 26

  return {
    uint32,
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    below(bound) {
      // Draws beyond the last whole multiple of `bound` would favour small results: throw them away.
      const limit = 2 ** 32 - (2 ** 32 % bound)
      for (;;) {
        const draw = uint32()
        if (draw < limit) return draw % bound
      }
    },
  }
}

const rotateLeft = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits))
