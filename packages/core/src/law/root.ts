/**
 * exp of the root of an increasing function of a logarithm, by bisection between `low` and `high`; exp(low) if the root lies
 * below, Infinity if the function is still negative at `high`.
 */
export function increasingRoot(f: (x: number) => number, low: number, high: number): number {
  if (f(low) >= 0) return Math.exp(low)
  if (f(high) < 0) return Infinity
  let [below, above] = [low, high]
  for (let i = 0; i < 100 && above - below > 1e-15 * above; i++) {
    const middle = (below + above) / 2
    if (f(middle) < 0) below = middle
    else above = middle
  }
  return Math.exp((below + above) / 2)
}
