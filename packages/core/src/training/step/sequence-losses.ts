/** The loss of a model on every sequence of some data: what is reported, and what runs are compared by. */
import { usageError } from '../../errors.ts'
import { evaluationBatches, type Packing, type TokenFile } from '../data/index.ts'
import { alone, gatherFigures, type Workers } from '../workers/workers.ts'
import type { Tensors } from './buffers.ts'
import type { BatchShape } from './loss.ts'
import type { LossEvaluation } from './loss-evaluation.ts'

export interface SequenceLoss {
  /** The sum of its losses. */
  readonly nats: number
  /** How many tokens they are of. */
  readonly tokens: number
  /** Number of the document that it begins in, in the order of the data. */
  readonly document: number
}

export interface Evaluation {
  /** Mean over the tokens, in nats. */
  readonly loss: number
  readonly tokens: number
  /** One per sequence, in the order of the data. */
  readonly sequences: readonly SequenceLoss[]
}

export interface SequenceOptions {
  /** How training packs documents. `stream` is evaluated with the rest, so that no token is left out. */
  readonly packing: Packing
  /** Sequences to evaluate at most. Default: all. */
  readonly limit?: number
  readonly signal?: AbortSignal | undefined
  /** They share the batches; each has the whole result, and is stopped by its own signal only where all have been. Default: this process alone. */
  readonly workers?: Workers | undefined
}

/**
 * @param parameters what the evaluation is fed, see LossEvaluation
 * @param shape of the plan that the evaluation was made for
 * @throws the signal's reason; usage error for data that are too small
 */
export async function sequenceLosses(
  evaluation: LossEvaluation,
  parameters: Tensors,
  file: TokenFile,
  { sequences: B, tokens: T }: BatchShape,
  { packing, limit = Infinity, signal, workers = alone }: SequenceOptions,
): Promise<Evaluation> {
  const batches = evaluationBatches(file, { batchSize: B, tokens: T, packing: packing === 'stream' ? 'streamWithRest' : packing })
  const count = Math.min(batches.sequences, limit)
  const mine: SequenceLoss[][] = []
  const steps = Math.ceil(count / B)
  for (let step = workers.rank; step < steps; step += workers.size) {
    signal?.throwIfAborted()
    const batch = await batches.batch(step)
    const losses = await evaluation.run(parameters, batch)
    mine.push(
      Array.from({ length: Math.min(B, count - step * B) }, (_, b) => {
        const weights = batch.weights.subarray(b * T, (b + 1) * T)
        const nats = weights.reduce((sum, weight, t) => (weight > 0 ? sum + losses[b * T + t]! : sum), 0)
        return { nats, tokens: countOf(weights), document: batch.documents[b * (T + 1)]! }
      }),
    )
  }
  const sequences = await inOrder(mine, count, B, workers)
  const tokens = sequences.reduce((sum, each) => sum + each.tokens, 0)
  if (tokens === 0) {
    throw usageError(
      `${file.name}: no token of the first ${count} sequences counts, so there is no loss; evaluate on more sequences`,
    )
  }
  return { loss: sequences.reduce((sum, each) => sum + each.nats, 0) / tokens, tokens, sequences }
}

/** Of all workers, which took the batches in turns. */
async function inOrder(mine: readonly SequenceLoss[][], count: number, B: number, workers: Workers): Promise<SequenceLoss[]> {
  const { rank, size } = workers
  if (size === 1) return mine.flat()
  const steps = Math.ceil(count / B)
  const sequencesOf = (step: number) => Math.min(B, count - step * B)
  const lengths = new Array<number>(size).fill(0)
  for (let step = 0; step < steps; step++) lengths[step % size]! += fields * sequencesOf(step)
  const own = Float64Array.from(mine.flat().flatMap(({ nats, tokens, document }) => [nats, tokens, document]))
  if (own.length !== lengths[rank]) throw new Error('a worker has evaluated other sequences than its own')
  const all = await gatherFigures(workers, own, lengths)
  const read = new Array<number>(size).fill(0)
  return Array.from({ length: steps }, (_, step) =>
    Array.from({ length: sequencesOf(step) }, (): SequenceLoss => {
      const from = read[step % size]!
      read[step % size] = from + fields
      const [nats, tokens, document] = all[step % size]!.subarray(from, from + fields) as Iterable<number>
      return { nats: nats!, tokens: tokens!, document: document! }
    }),
  ).flat()
}

const fields = 3

/** Positions that count. */
export const countOf = (weights: ArrayLike<number>): number =>
  Array.from(weights).reduce((sum, weight) => sum + Number(weight > 0), 0)
