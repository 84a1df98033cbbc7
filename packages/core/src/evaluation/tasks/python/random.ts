/**
 * Python's `random.Random`: MT19937 (M. Matsumoto, T. Nishimura, ACM TOMACS 8(1), 1998) seeded by an integer, with `sample`, `shuffle`
 * and `choices` as CPython draws them. Few-shot examples are drawn by it.
 */
import { usageError } from '../../../errors.ts'

const stateWords = 624
const middleWord = 397

export class PythonRandom {
  readonly #state = new Uint32Array(stateWords)
  #at = stateWords

  /** @param seed a whole number; as in Python, its sign does not count */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed))
      throw usageError(`seed must be a whole number up to 2^53, got ${seed}`, { flag: 'seed', found: seed })
    const size = Math.abs(seed)
    const key = size >= 2 ** 32 ? [size >>> 0, Math.floor(size / 2 ** 32)] : [size]
    this.#seedByArray(key)
  }

  #seedByNumber(seed: number): void {
    const s = this.#state
    s[0] = seed
    for (let i = 1; i < stateWords; i++) s[i] = Math.imul(1812433253, s[i - 1]! ^ (s[i - 1]! >>> 30)) + i
  }

  #seedByArray(key: readonly number[]): void {
    this.#seedByNumber(19650218)
    const s = this.#state
    let [i, j] = [1, 0]
    const next = () => {
      if (++i < stateWords) return
      s[0] = s[stateWords - 1]!
      i = 1
    }
    for (let k = Math.max(stateWords, key.length); k > 0; k--) {
      s[i] = (s[i]! ^ Math.imul(s[i - 1]! ^ (s[i - 1]! >>> 30), 1664525)) + key[j]! + j
      next()
      j = (j + 1) % key.length
    }
    for (let k = stateWords - 1; k > 0; k--) {
      s[i] = (s[i]! ^ Math.imul(s[i - 1]! ^ (s[i - 1]! >>> 30), 1566083941)) - i
      next()
    }
    s[0] = 0x80000000
  }

  #refill(): void {
    const s = this.#state
    for (let i = 0; i < stateWords; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % stateWords]! & 0x7fffffff)
      s[i] = s[(i + middleWord) % stateWords]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
    this.#at = 0
  }

  /** Uniform in [0, 2^32). */
  uint32(): number {
    if (this.#at === stateWords) this.#refill()
    let y = this.#state[this.#at++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** Uniform in [0, 1). */
  random(): number {
    const high = this.uint32() >>> 5
    return (high * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53
  }

  /** Uniform in [0, bound), bound from 1 to 2^32. */
  below(bound: number): number {
    const bits = 32 - Math.clz32(bound)
    for (;;) {
      const drawn = this.uint32() >>> (32 - bits)
      if (drawn < bound) return drawn
    }
  }

  /** `count` different members, in the order they are drawn. @throws usage error where there are fewer */
  sample<T>(population: readonly T[], count: number): T[] {
    const size = population.length
    if (count > size || count < 0)
      throw usageError(`${count} examples are wanted, there are ${size}`, { expected: count, found: size })
    // CPython: below this size a list takes less than a set of those that were drawn.
    const listSize = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0)
    if (size <= listSize) {
      const pool = [...population]
      return Array.from({ length: count }, (_, i) => {
        const j = this.below(size - i)
        const drawn = pool[j]!
        pool[j] = pool[size - i - 1]!
        return drawn
      })
    }
    const drawn = new Set<number>()
    while (drawn.size < count) drawn.add(this.below(size))
    return [...drawn].map((i) => population[i]!)
  }

  /** In place. */
  shuffle<T>(items: T[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[items[i], items[j]] = [items[j]!, items[i]!]
    }
  }

  /** `count` members, drawn with replacement. */
  choices<T>(population: readonly T[], count: number): T[] {
    return Array.from({ length: count }, () => population[Math.floor(this.random() * population.length)]!)
  }
}
