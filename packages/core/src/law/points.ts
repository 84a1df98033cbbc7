/** One measured model: what was varied and the loss that came out. */
export interface Setting {
  /** Non-embedding parameters, those that come with P > 1 included. */
  readonly N: number
  /** Parallel streams. */
  readonly P: number
  /** Training tokens; only laws with a data term ask for it. */
  readonly D?: number
}

export interface Point extends Setting {
  /** Held-out loss in nats per token (or in whatever unit all points share). */
  readonly loss: number
  /** How much the point counts in the fit, 1 by default. */
  readonly weight?: number
}

/**
 * Groups points of one model size. N grows by one or two percent with P, sizes are further apart: a new group begins
 * where N is 10 % above its predecessor. Groups come in order of N.
 */
export function groupBySize<T extends Setting>(points: readonly T[]): T[][] {
  const groups: T[][] = []
  for (const point of points.toSorted((a, b) => a.N - b.N)) {
    const last = groups.at(-1)
    if (last !== undefined && point.N < 1.1 * last.at(-1)!.N) last.push(point)
    else groups.push([point])
  }
  return groups
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/** 1.57B, 42B, 8: three digits, with the usual letters from a million on. */
export const shortNumber = (value: number): string =>
  value < 999_500 ? String(Number(value.toPrecision(3))) : compact.format(value)
