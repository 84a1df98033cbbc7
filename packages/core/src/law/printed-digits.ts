/** The paper's printed parameters held against the points: they are rounded, and A, E and alpha trade against each other. */
import { type Fit, fitLaw } from './fit.ts'
import { laws } from './laws.ts'
import { type DatasetName, publishedFits, publishedPoints } from './published.ts'

/**
 * The best fit of the log law among all parameters that round to those that the paper prints. If its objective is that of the
 * free optimum, paper and fit agree to every printed digit; if it is hardly above, they differ only along a flat valley.
 */
export function fitWithinPrintedDigits(dataset: DatasetName): Fit {
  const printed = publishedFits[dataset]
  const limits = laws.log.parameters.map(({ name }) => {
    const value = printed[name as keyof typeof printed]
    const lastDigit = name === 'A' ? 10 ** (Math.floor(Math.log10(value)) - 3) : 1e-4 // A has four digits, the others four decimals
    const reach = 0.499 * lastDigit // a little less than half, so that it rounds to the printed digit for certain
    return [value - reach, value, value + reach] as const
  })
  const [lower, upper] = [limits.map(([low]) => low), limits.map(([, , high]) => high)]
  // From the middle and every corner of the box: it is so small that the search moves along its edges.
  const corners = Array.from({ length: 2 ** limits.length }, (_, corner) =>
    limits.map(([low, , high], i) => ((corner >> i) % 2 === 0 ? low : high)),
  )
  return fitLaw(laws.log, publishedPoints(dataset), [limits.map(([, middle]) => middle), ...corners], { lower, upper })
}
