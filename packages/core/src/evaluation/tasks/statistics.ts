/** How sure a figure is, and how sure a difference between two runs over the same questions. */
import { createRandom } from '../../random.ts'
import { ascending, quantile } from '../../spread.ts'
import type { Aggregation, Value } from './metrics.ts'

export interface Interval {
  readonly low: number
  readonly high: number
}

/** 97.5 % of the standard normal distribution. */
const normal975 = 1.959963984540054

const isBinary = (values: readonly Value[]): values is readonly number[] => values.every((value) => value === 0 || value === 1)

/**
 * 95 % interval: of a share, Wilson's (E. Wilson, JASA 22, 1927), which holds near 0 and 1; of another mean, the normal one; of what
 * is no mean, percentiles of questions drawn with replacement. Undefined for one question.
 */
export function interval(
  aggregation: Aggregation,
  values: readonly Value[],
  value: number,
  standardError: number | undefined,
  seed = 0,
): Interval | undefined {
  if (values.length < 2) return undefined
  if (isBinary(values)) return wilson(value, values.length)
  if (aggregation.name === 'mean' && standardError !== undefined)
    return { low: value - normal975 * standardError, high: value + normal975 * standardError }
  const random = createRandom(seed)
  const drawn = Array.from({ length: intervalDraws }, () =>
    aggregation.of(values.map(() => values[random.below(values.length)]!)),
  ).sort(ascending)
  return { low: quantile(drawn, 0.025), high: quantile(drawn, 0.975) }
}

const intervalDraws = 2000

export function wilson(share: number, count: number): Interval {
  const z2 = normal975 ** 2
  const centre = share + z2 / (2 * count)
  const spread = normal975 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2))
  const scale = 1 + z2 / count
  return { low: Math.max(0, (centre - spread) / scale), high: Math.min(1, (centre + spread) / scale) }
}

export interface Comparison {
  /** The second run's figure minus the first one's. */
  readonly difference: number
  /** 95 %, by drawing questions with replacement, the same ones for both runs (paired bootstrap, percentiles). */
  readonly interval: Interval
  /** Probability of a difference at least as large where there is none, two-sided. */
  readonly pValue: number
  readonly test: 'McNemar, exact' | 'paired bootstrap'
  /** Of shares: questions that only one of the two has right. */
  readonly onlyFirst?: number
  readonly onlySecond?: number
}

const draws = 10_000

/** Two runs over the same questions, in the same order. @throws where their numbers differ */
export function compareRuns(aggregation: Aggregation, first: readonly Value[], second: readonly Value[], seed = 0): Comparison {
  if (first.length !== second.length) throw new Error(`runs over ${first.length} and ${second.length} questions cannot be paired`)
  const difference = aggregation.of(second) - aggregation.of(first)
  const random = createRandom(seed)
  const count = first.length
  const drawn: number[] = []
  const [a, b] = [Array<Value>(count), Array<Value>(count)]
  for (let draw = 0; draw < draws; draw++) {
    for (let i = 0; i < count; i++) {
      const at = random.below(count)
      a[i] = first[at]!
      b[i] = second[at]!
    }
    drawn.push(aggregation.of(b) - aggregation.of(a))
  }
  drawn.sort(ascending)
  const bounds = { low: quantile(drawn, 0.025), high: quantile(drawn, 0.975) }
  if (isBinary(first) && isBinary(second)) {
    const onlyFirst = first.filter((value, i) => value > (second[i] as number)).length
    const onlySecond = second.filter((value, i) => value > (first[i] as number)).length
    return { difference, interval: bounds, pValue: mcNemar(onlyFirst, onlySecond), test: 'McNemar, exact', onlyFirst, onlySecond }
  }
  const below = drawn.filter((value) => value <= 0).length
  const above = drawn.filter((value) => value >= 0).length
  const pValue = Math.min(1, (2 * (Math.min(below, above) + 1)) / (draws + 1))
  return { difference, interval: bounds, pValue, test: 'paired bootstrap' }
}

/** Two-sided exact test of discordant pairs (Q. McNemar, Psychometrika 12, 1947): binomial with 1/2. */
export function mcNemar(onlyFirst: number, onlySecond: number): number {
  const pairs = onlyFirst + onlySecond
  let logChoose = 0
  let tail = 0
  for (let k = 0; k <= Math.min(onlyFirst, onlySecond); k++) {
    tail += Math.exp(logChoose - pairs * Math.LN2)
    logChoose += Math.log(pairs - k) - Math.log(k + 1)
  }
  return Math.min(1, 2 * tail)
}
