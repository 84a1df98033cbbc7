/** What is told of a list of measured values: a machine is never quiet, so one number is not enough. */

export interface Spread {
  readonly min: number
  readonly lowerQuartile: number
  readonly median: number
  readonly upperQuartile: number
  readonly max: number
  readonly samples: number
}

/** Of at least one value; quantiles between two values are interpolated. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const quantile = (share: number) => {
    const at = share * (sorted.length - 1)
    const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
    return low + (at - Math.floor(at)) * (high - low)
  }
  const [min, lowerQuartile, median, upperQuartile, max] = [0, 0.25, 0.5, 0.75, 1].map(quantile) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return { min, lowerQuartile, median, upperQuartile, max, samples: sorted.length }
}

export const median = (values: readonly number[]): number => spreadOf(values).median
