/** What goes wrong with streams, as figures with thresholds: they collapse into one, or one takes all the weight. */
import type { StreamCorrelation } from './correlation.ts'
import type { WeightStatistics } from './weights.ts'

/** An alarm is raised at the threshold and beyond. */
export const alarmThresholds = {
  /** Averaging streams this alike removes at most 0.1 % of one stream's reducible loss. */
  rho: 0.999,
  /** Relative distance of two streams' hidden states: 0 is the same, sqrt(2) nothing in common. */
  distance: 0.01,
  /** Mean weight of one stream, before smoothing. */
  meanWeight: 0.9,
  /** Mean entropy of the weights over ln P, before smoothing: each token is left to one stream, not always the same. */
  entropy: 0.1,
} as const

export interface Alarm {
  readonly kind: 'stream collapse' | 'weight monoculture'
  readonly figure: keyof typeof alarmThresholds
  /** The worst that was measured. */
  readonly value: number
  readonly threshold: number
  /** Pairs of streams, or single streams, that it concerns; counted from 1. */
  readonly streams: readonly (readonly number[])[]
  /** A sentence with figure and threshold. */
  readonly message: string
}

/** @param distances of hidden states, [P][P] */
export function findAlarms(
  correlation: Pick<StreamCorrelation, 'rho'>,
  distances: readonly ArrayLike<number>[],
  weights: Pick<WeightStatistics, 'beforeSmoothing'>,
): Alarm[] {
  const { mean, entropy } = weights.beforeSmoothing
  const pairs = distances.flatMap((_, j) => Array.from({ length: j }, (_, i) => [i, j] as const))
  const alarms: Alarm[] = []

  const alike = pairs.filter(([i, j]) => correlation.rho[i]![j]! >= alarmThresholds.rho)
  if (alike.length > 0) {
    const value = Math.max(...alike.map(([i, j]) => correlation.rho[i]![j]!))
    const message = `rho is up to ${value.toFixed(5)}, and at least ${alarmThresholds.rho} in ${countOf(alike, pairs)}: averaging them is worth next to nothing`
    alarms.push(alarm('stream collapse', 'rho', value, alike, message))
  }

  const near = pairs.filter(([i, j]) => distances[i]![j]! <= alarmThresholds.distance)
  if (near.length > 0) {
    const value = Math.min(...near.map(([i, j]) => distances[i]![j]!))
    const message = `hidden states are as near as ${value.toPrecision(3)} of their length, and at most ${alarmThresholds.distance} in ${countOf(near, pairs)}: they compute the same`
    alarms.push(alarm('stream collapse', 'distance', value, near, message))
  }

  const heaviest = mean.indexOf(Math.max(...mean))
  if (mean[heaviest]! >= alarmThresholds.meanWeight) {
    const value = mean[heaviest]!
    const message = `stream ${heaviest + 1} has a mean weight of ${value.toFixed(4)} before smoothing (alarm from ${alarmThresholds.meanWeight}): the others hardly count`
    alarms.push(alarm('weight monoculture', 'meanWeight', value, [[heaviest]], message))
  } else if (entropy <= alarmThresholds.entropy) {
    const message = `the weights' entropy is ${entropy.toFixed(4)} of ln P before smoothing (alarm down from ${alarmThresholds.entropy}): each token is left to one stream`
    alarms.push(alarm('weight monoculture', 'entropy', entropy, [], message))
  }
  return alarms
}

const alarm = (
  kind: Alarm['kind'],
  figure: Alarm['figure'],
  value: number,
  streams: readonly (readonly number[])[],
  message: string,
): Alarm => ({
  kind,
  figure,
  value,
  threshold: alarmThresholds[figure],
  streams: streams.map((group) => group.map((stream) => stream + 1)),
  message,
})

/** Names a few pairs; the full list stands in the alarm's `streams`. */
function countOf(some: readonly (readonly [number, number])[], all: readonly unknown[]): string {
  const names = some.slice(0, 4).map(([i, j]) => `${i + 1} and ${j + 1}`)
  return `${some.length} of ${all.length} pairs of streams (${names.join(', ')}${some.length > 4 ? ', ...' : ''})`
}
