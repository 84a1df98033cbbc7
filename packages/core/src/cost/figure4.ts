/**
 * The paper's headline as a calculation: the 1.6B model with 8 streams against the larger single-stream model of equal loss,
 * by the reference cost model. "22x less memory increase, 6x less latency increase" is batch 1; "7x and 1.7x" averages batches.
 */
import { usageError } from '../errors.ts'
import { referenceCost } from './reference.ts'
import { publishedModel, publishedModels, requirePositive } from './shapes.ts'

/** Input and output length are equal, and costs are averaged over these. */
export const figure4Lengths = [64, 128, 256, 512] as const
export const figure4Batches = [1, 2, 4, 8] as const
export const figure4Streams = [1, 2, 4, 8] as const

export interface MeanCost {
  readonly model: string
  readonly P: number
  readonly batch: number
  readonly memoryBytes: number
  readonly latencySeconds: number
}

export interface Headline {
  /** Cost of the 1.6B model at P = 1. */
  readonly base: number
  /** Cost of the 1.6B model at P = 8. */
  readonly parallel: number
  /** Cost at P = 1 of the size whose loss equals that. */
  readonly parameterScaling: number
  /** (parameterScaling - base) / (parallel - base): above 1, streams are the cheaper way. */
  readonly ratio: number
}

/** Means over lengths of all six models, P and batches: the points of the figure. */
export function figure4Points(): MeanCost[] {
  return publishedModels.flatMap(({ name }) =>
    figure4Streams.flatMap((P) => figure4Batches.map((batch) => meanCost(name, P, batch))),
  )
}

/** What the 1.6B model costs at P = 1 and P = 8, and the next two sizes at P = 1: in memory or in time, computed or measured. */
export interface HeadlineCosts {
  readonly base: number
  readonly parallel: number
  /** 2.8B. */
  readonly larger: number
  /** 4.4B. */
  readonly largest: number
}

/** How far the size of equal loss lies from 2.8B to 4.4B. */
const equalLossShare = (1.0451 - 1.0383) / (1.0451 - 1.0213)

/**
 * The headline of given costs.
 *
 * The size of equal loss lies between 2.8B and 4.4B, where a straight line through the measured Stack-V2-Python losses of these
 * two (1.0451, 1.0213) meets 1.0383, the loss of 1.6B with P = 8: at 2/7 of the way.
 */
export function headlineOf({ base, parallel, larger, largest }: HeadlineCosts): Headline {
  for (const [flag, value] of Object.entries({ base, parallel, larger, largest })) requirePositive(flag, value)
  const parameterScaling = larger + equalLossShare * (largest - larger)
  return { base, parallel, parameterScaling, ratio: (parameterScaling - base) / (parallel - base) }
}

/** Headline ratios for one batch size, or for costs averaged over several, by the paper's cost model. */
export function headline(batches: readonly number[]): { readonly memory: Headline; readonly latency: Headline } {
  if (batches.length === 0) throw usageError('batches is empty; name at least one batch size', { flag: 'batches' })
  const mean = (name: string, P: number, key: 'memoryBytes' | 'latencySeconds') =>
    average(batches.map((batch) => meanCost(name, P, batch)[key]))
  const compare = (key: 'memoryBytes' | 'latencySeconds'): Headline =>
    headlineOf({
      base: mean('1.6B', 1, key),
      parallel: mean('1.6B', 8, key),
      larger: mean('2.8B', 1, key),
      largest: mean('4.4B', 1, key),
    })
  return { memory: compare('memoryBytes'), latency: compare('latencySeconds') }
}

function meanCost(model: string, P: number, batch: number): MeanCost {
  const { shape } = publishedModel(model)
  const costs = figure4Lengths.map((length) => referenceCost(shape, { P, batch, inputTokens: length, outputTokens: length }))
  const memoryBytes = average(costs.map((cost) => cost.memoryBytes))
  return { model, P, batch, memoryBytes, latencySeconds: average(costs.map((cost) => cost.latencySeconds)) }
}

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
