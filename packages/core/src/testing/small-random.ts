/** A small seeded generator of random choices, for what tests generate. */
export interface SmallRandom {
  /** From 0 up to `limit`, without it. */
  below(limit: number): number
  pick<T>(choices: readonly T[]): T
  /** True this often. */
  chance(probability: number): boolean
  list<T>(most: number, make: () => T): T[]
}

/** Mulberry32: 32 bits of state. */
export function randomFrom(seed: number): SmallRandom {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    pick: (choices) => choices[below(choices.length)]!,
    chance: (probability) => next() < probability,
    list: (most, make) => Array.from({ length: below(most + 1) }, make),
  }
}
