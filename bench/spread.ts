/**
 * What is told of a list of measured times: a machine is never quiet, so one number is not enough. On shared cores the
 * slow half of the samples tells about the neighbours (llama.cpp's threads spin while they wait for one that lost its
 * core), so compare lower quartiles and show the median.
 */
export interface Spread {
  readonly min: number
  readonly lowerQuartile: number
  readonly median: number
  readonly max: number
  readonly samples: number
}

/** @throws when there are no samples */
export function spreadOf(samples: readonly number[]): Spread {
  if (samples.length === 0) throw new Error('spreadOf: no samples; ask for at least one step or repeat')
  const sorted = [...samples].sort((a, b) => a - b)
  return {
    min: sorted[0]!,
    lowerQuartile: sorted[sorted.length >> 2]!,
    median: sorted[sorted.length >> 1]!,
    max: sorted.at(-1)!,
    samples: sorted.length,
  }
}
