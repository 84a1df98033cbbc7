/** The normal distribution: error function, cumulative probability and its inverse. */

/**
 * Complementary error function for x >= 0, relative error below 1e-12: below 2.5 by the series of positive terms, above by
 * the continued fraction (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6 and 7.1.14).
 */
export function erfc(x: number): number {
  if (x < 2.5) {
    let [term, sum] = [x, x]
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1)
      sum += term
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
  }
  let fraction = x
  for (let n = 120; n > 0; n--) fraction = x + n / 2 / fraction
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction
}

/** Probability that a standard normal variable is below x. */
export function normalCdf(x: number): number {
  const tail = erfc(Math.abs(x) / Math.SQRT2) / 2
  return x < 0 ? tail : 1 - tail
}

/** Inverse of `normalCdf` by bisection; share strictly between 0 and 1. */
export function normalQuantile(share: number): number {
  let [low, high] = [-10, 10]
  while (high - low > 1e-12) {
    const middle = (low + high) / 2
    if (normalCdf(middle) < share) low = middle
    else high = middle
  }
  return (low + high) / 2
}
