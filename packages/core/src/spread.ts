/** What is told of a list of measured values: a machine is never quiet, so one number is not enough. */
import { usageError } from './errors.ts'

export interface Spread {
  readonly min: number
  readonly lowerQuartile: number
  readonly median: number
  readonly upperQuartile: number
  readonly max: number
  /** How many values. */
  readonly samples: number
}

/**
 * In the unit of the values, in any order. On shared cores the slow half of the times tells about the neighbours, so compare
 * lower quartiles and show the median.
 *
 * @throws usage error when there are no values
 */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw usageError('spread: no values; measure at least one step or round')
  const sorted = values.toSorted(ascending)
  const at = (share: number) => quantile(sorted, share)
  return { min: at(0), lowerQuartile: at(0.25), median: at(0.5), upperQuartile: at(0.75), max: at(1), samples: sorted.length }
}

/** Least and greatest; a spread into Math.min overflows the stack at some 100,000 values. NaN where one of them is. */
export function extentOf(values: readonly number[]): [number, number] {
  let [least, greatest] = [Infinity, -Infinity]
  for (const value of values) [least, greatest] = [Math.min(least, value), Math.max(greatest, value)]
  return [least, greatest]
}

/** Order of numbers, infinite ones too (Infinity - Infinity is no order). */
export const ascending = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Of at least one value, sorted; linear between neighbours: type 7 of R. Hyndman and Y. Fan, The American Statistician 50,
 * 1996, the default of numpy and R.
 *
 * @param share 0 to 1
 */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
  return below === above ? below : below + (at - Math.floor(at)) * (above - below)
}
