/** How the aggregation shares its weight among the streams: averages, entropy, histograms, who leads. */

export const histogramBins = 10

export interface WeightStatistics {
  /** e of w' = w (1 - e) + e / P, which the model adds to every weight. */
  readonly smoothing: number
  /** Each stream's mean weight, as applied (after smoothing): [P]. */
  readonly mean: readonly number[]
  /** Standard deviation of each stream's weight over the tokens, as applied: 0 where the weights do not follow the text. [P] */
  readonly deviation: readonly number[]
  /** Share of the tokens in which each stream weighs most, the first among equals: [P]. */
  readonly leads: readonly number[]
  /** Mean over tokens of -sum w ln w / ln P, as applied: 1 is an even split, 0 one stream alone. */
  readonly entropy: number
  /** Tokens by weight, in ten bins over [0, 1]: [P][10]. */
  readonly histogram: readonly (readonly number[])[]
  /** The same figures of w, before smoothing, which hides a decided aggregation: these are what alarms look at. */
  readonly beforeSmoothing: { readonly mean: readonly number[]; readonly entropy: number }
}

/** @param weights as applied, [T * P], P fastest */
export function weightStatistics(weights: Float32Array, P: number, smoothing: number): WeightStatistics {
  const T = weights.length / P
  const leads = new Array<number>(P).fill(0)
  const histogram = Array.from({ length: P }, () => new Array<number>(histogramBins).fill(0))
  for (let t = 0; t < T; t++) {
    const token = weights.subarray(t * P, (t + 1) * P)
    leads[token.indexOf(Math.max(...token))]! += 1 / T
    for (const [i, weight] of token.entries()) histogram[i]![Math.min(histogramBins - 1, Math.floor(weight * histogramBins))]!++
  }
  // With e = 1 the average is all there is: nothing to undo.
  const raw = smoothing < 1 ? weights.map((weight) => Math.max(0, (weight - smoothing / P) / (1 - smoothing))) : weights
  return {
    smoothing,
    mean: meanWeights(weights, P),
    deviation: deviations(weights, P),
    leads,
    entropy: meanEntropy(weights, P),
    histogram,
    beforeSmoothing: { mean: meanWeights(raw, P), entropy: meanEntropy(raw, P) },
  }
}

function meanWeights(weights: Float32Array, P: number): number[] {
  const sums = new Array<number>(P).fill(0)
  for (const [at, weight] of weights.entries()) sums[at % P]! += weight
  return sums.map((sum) => (sum * P) / weights.length)
}

function deviations(weights: Float32Array, P: number): number[] {
  const mean = meanWeights(weights, P)
  const squares = new Array<number>(P).fill(0)
  for (const [at, weight] of weights.entries()) squares[at % P]! += (weight - mean[at % P]!) ** 2
  return squares.map((sum) => Math.sqrt((sum * P) / weights.length))
}

function meanEntropy(weights: Float32Array, P: number): number {
  const sum = weights.reduce((total, weight) => (weight > 0 ? total - weight * Math.log(weight) : total), 0)
  return (sum * P) / (weights.length * Math.log(P))
}
