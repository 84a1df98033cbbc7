/**
 * Compares cells of the study on the reported documents: differences and worth, with 95 % intervals of a bootstrap that draws
 * documents and seeds anew, the same documents for all models of a draw.
 */
import { createRandom } from '@parscale/core/internal'
import type { Costs } from './costs.ts'
import { type Record, reportedDocuments } from './records.ts'

export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

/** One model: its runs differ in nothing but the seed. */
export interface Model {
  readonly costs: Costs
  readonly runs: readonly Record[]
}

const draws = 2000

/** Which documents, how often each; and for every model which seeds. */
interface Draw {
  readonly documents: readonly number[]
  seedOf(model: Model): readonly number[]
}

/** The mean loss of a model over the documents and seeds of a draw, nats a token. */
function lossIn(model: Model, { documents, seedOf }: Draw): number {
  let [nats, tokens] = [0, 0]
  for (const seed of seedOf(model)) {
    const losses = reportedDocuments(model.runs[seed]!)
    for (const [i, times] of documents.entries()) {
      nats += times * losses[i]!.nats
      tokens += times * losses[i]!.tokens
    }
  }
  return nats / tokens
}

/** Of a figure that is computed from the losses of models. `undefined` of a figure in any draw is none at all. */
export function interval(models: readonly Model[], figure: (lossOf: (model: Model) => number) => number): Interval {
  const random = createRandom(1) // the same records give the same interval
  const count = reportedDocuments(models[0]!.runs[0]!).length
  const all: Draw = { documents: Array(count).fill(1), seedOf: ({ runs }) => runs.map((_, i) => i) }
  const values = Array.from({ length: draws }, () => {
    const documents: number[] = Array(count).fill(0)
    for (let i = 0; i < count; i++) documents[random.below(count)]!++
    const seeds = new Map(models.map((model) => [model, model.runs.map(() => random.below(model.runs.length))]))
    const draw: Draw = { documents, seedOf: (model) => seeds.get(model)! }
    const losses = new Map(models.map((model) => [model, lossIn(model, draw)]))
    return figure((model) => losses.get(model)!)
  }).sort((a, b) => a - b)
  return {
    value: figure((model) => lossIn(model, all)),
    low: values[Math.floor(draws * 0.025)]!,
    high: values[Math.floor(draws * 0.975)]!,
  }
}

/** By how much `is` is better than `than`, nats a token. */
export const better = (is: Model, than: Model): Interval => interval([is, than], (lossOf) => lossOf(than) - lossOf(is))

/** Whether P = 1 was trained at costs below and above this one. */
export function isWithin(ladder: readonly Model[], currency: keyof Costs, cost: number): boolean {
  const costs = ladder.map(({ costs }) => costs[currency])
  return Math.min(...costs) <= cost && cost <= Math.max(...costs)
}

/** By how much `is` is better than P = 1 of the same cost, between two sizes of the ladder, in which loss falls with ln cost. */
export const betterAtEqual = (is: Model, ladder: readonly Model[], currency: keyof Costs): Interval =>
  interval([is, ...ladder], (lossOf) => lossAt(ladder, lossOf, currency, is.costs[currency]) - lossOf(is))

/**
 * Worth: by how much the parameters of plain P = 1, `base`, must be multiplied for the loss of `is`. Beyond the ladder its last
 * two sizes are prolonged.
 */
export const worth = (is: Model, base: Model, ladder: readonly Model[]): Interval =>
  interval([...new Set([is, base, ...ladder])], (lossOf) => parametersFor(ladder, lossOf, lossOf(is)) / base.costs.parameters)

function lossAt(ladder: readonly Model[], lossOf: (model: Model) => number, currency: keyof Costs, cost: number): number {
  const [a, b] = neighbours(ladder, ({ costs }) => costs[currency] <= cost)
  const share = Math.log(cost / a.costs[currency]) / Math.log(b.costs[currency] / a.costs[currency])
  return lossOf(a) + share * (lossOf(b) - lossOf(a))
}

function parametersFor(ladder: readonly Model[], lossOf: (model: Model) => number, loss: number): number {
  const [a, b] = neighbours(ladder, (model) => lossOf(model) >= loss)
  const share = (lossOf(a) - loss) / (lossOf(a) - lossOf(b))
  return a.costs.parameters * (b.costs.parameters / a.costs.parameters) ** share
}

/** The last model, from small to large, of which this holds, and the next one. */
function neighbours(ladder: readonly Model[], holds: (model: Model) => boolean): readonly [Model, Model] {
  const sorted = ladder.toSorted((a, b) => a.costs.parameters - b.costs.parameters)
  const at = Math.min(Math.max(0, sorted.findLastIndex(holds)), sorted.length - 2)
  return [sorted[at]!, sorted[at + 1]!]
}
