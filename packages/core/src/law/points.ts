/** One measured model: what was varied and the loss that came out. */
import { usageError } from '../errors.ts'

/** A model's size, streams and training tokens. */
export interface Setting {
  /** Non-embedding parameters, those that come with P > 1 included. */
  readonly N: number
  /** Parallel streams. */
  readonly P: number
  /** Training tokens; only laws with a data term ask for it. */
  readonly D?: number
}

/** A measured model: its setting and its held-out loss. */
export interface Point extends Setting {
  /** Held-out loss in nats per token (or in whatever unit all points share). */
  readonly loss: number
  /** How much the point counts in the fit, 1 by default. */
  readonly weight?: number
}

/**
 * Refuses values that no law is defined for: logarithms are taken of all of them. P may be no whole number where a curve is asked.
 *
 * @param at what the message begins with
 * @throws usage error naming the key and the value
 */
export function checkSetting(setting: Setting, at = ''): void {
  requirePositive(setting, ['N', 'P'], at)
  if (setting.D !== undefined) requirePositive(setting, ['D'], at)
}

/** @throws usage error for a point that cannot be fitted: see checkSetting; loss and weight count as well */
export function checkPoints(points: readonly Point[]): void {
  for (const [i, point] of points.entries()) {
    const at = `point ${i + 1}: `
    checkSetting(point, at)
    requirePositive(point, point.weight === undefined ? ['loss'] : ['loss', 'weight'], at)
  }
}

function requirePositive<K extends string>(values: { readonly [key in K]?: unknown }, keys: readonly K[], at: string): void {
  for (const key of keys) {
    const found = values[key]
    if (typeof found !== 'number' || !(found > 0 && found < Infinity))
      throw usageError(
        `${at}${key} must be a number greater than 0, got ${typeof found === 'string' ? JSON.stringify(found) : found}`,
        {
          flag: key,
          expected: 'a number greater than 0',
          found,
        },
      )
  }
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
