/** The loss of a model on every sequence of some data: what is reported, and what runs are compared by. */
import { usageError } from '../../errors.ts'
import { evaluationBatches, type Packing, type TokenFile } from '../data/index.ts'
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
  { packing, limit = Infinity, signal }: SequenceOptions,
): Promise<Evaluation> {
  const batches = evaluationBatches(file, { batchSize: B, tokens: T, packing: packing === 'stream' ? 'streamWithRest' : packing })
  const count = Math.min(batches.sequences, limit)
  const sequences: Evaluation['sequences'][number][] = []
  for (let step = 0; sequences.length < count; step++) {
    signal?.throwIfAborted()
    const batch = await batches.batch(step)
    const losses = await evaluation.run(parameters, batch)
    for (let b = 0; b < B && sequences.length < count; b++) {
      const weights = batch.weights.subarray(b * T, (b + 1) * T)
      const nats = weights.reduce((sum, weight, t) => (weight > 0 ? sum + losses[b * T + t]! : sum), 0)
      sequences.push({ nats, tokens: countOf(weights), document: batch.documents[b * (T + 1)]! })
    }
  }
  const tokens = sequences.reduce((sum, each) => sum + each.tokens, 0)
  if (tokens === 0) {
    throw usageError(
      `${file.name}: no token of the first ${count} sequences counts, so there is no loss; evaluate on more sequences`,
    )
  }
  return { loss: sequences.reduce((sum, each) => sum + each.nats, 0) / tokens, tokens, sequences }
}

/** Positions that count. */
export const countOf = (weights: ArrayLike<number>): number =>
  Array.from(weights).reduce((sum, weight) => sum + Number(weight > 0), 0)
