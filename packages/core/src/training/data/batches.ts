/** Batches of token sequences, each computed from its step alone: training resumes at any step without replaying. */
import { usageError } from '../../errors.ts'
import { firstAbove, type PackedSequences, type Packing, packSequences } from './packing.ts'
import { permutation } from './permutation.ts'
import type { TokenFile } from './token-file.ts'

/** Arrays are row by row: B sequences of T + 1 tokens, or of T predicted ones. */
export interface DataBatch {
  /** Token ids [B, T + 1]. */
  readonly ids: Int32Array
  /** 1 where a token counts as a target, else 0 (padding, or not the assistant's) [B, T]: of token t + 1. */
  readonly weights: Float32Array
  /** Number of the document that each token belongs to, in the order of the file; -1 for padding [B, T + 1]. Attention that
   * must not cross documents is allowed where two tokens have the same number. */
  readonly documents: Int32Array
}

/** How batches are made: sequences, tokens in each, seed, packing. */
export interface BatchOptions {
  /** B, sequences in a batch. */
  readonly batchSize: number
  /** T, tokens read in each. */
  readonly tokens: number
  readonly packing?: Packing
  /** Fills up short sequences, which counts nowhere. Default 0. */
  readonly padTokenId?: number
}

export interface Batches {
  /** Sequences in the data. */
  readonly sequences: number
  /** Batch number `step`, from 0. The same step always gives the same batch. */
  batch(step: number): Promise<DataBatch>
}

/** Batches of a data set, each computed from its step alone. */
export interface TrainingBatches extends Batches {
  /** Batches that hold every sequence once; not whole, as a batch may reach into the next epoch. */
  readonly stepsPerEpoch: number
}

export interface EvaluationBatches extends Batches {
  readonly steps: number
}

/**
 * Endless shuffled batches: every epoch has each sequence once, in an order of its own decided by `seed`.
 *
 * @param options packing: default `stream`
 * @throws usage error where the data are too small for one sequence
 */
export function trainingBatches(file: TokenFile, options: BatchOptions & { readonly seed: number }): TrainingBatches {
  const { batchSize, seed } = options
  const packed = packFile(file, options, 'stream')
  let shuffled = { epoch: 0, order: permutation(packed.count, seed, 0) }
  const sequenceAt = (position: number): number => {
    const epoch = Math.floor(position / packed.count)
    if (epoch !== shuffled.epoch) shuffled = { epoch, order: permutation(packed.count, seed, epoch) }
    return shuffled.order(position % packed.count)
  }
  return {
    sequences: packed.count,
    stepsPerEpoch: packed.count / batchSize,
    batch: (step) =>
      readBatch(
        file,
        packed,
        options,
        Array.from({ length: batchSize }, (_, b) => sequenceAt(step * batchSize + b)),
      ),
  }
}

/**
 * Batches that hold every sequence once, in order; the last one is filled up with rows of padding.
 *
 * @param options packing: default `streamWithRest`, so that no token is left out
 * @throws usage error where the data are too small for one sequence; RangeError for a step that there is not
 */
export function evaluationBatches(file: TokenFile, options: BatchOptions): EvaluationBatches {
  const { batchSize } = options
  const packed = packFile(file, options, 'streamWithRest')
  const steps = Math.ceil(packed.count / batchSize)
  return {
    sequences: packed.count,
    steps,
    async batch(step) {
      if (!(step >= 0 && step < steps)) throw new RangeError(`${file.name}: batch ${step} is not one of the ${steps} there are`)
      const rows = Array.from({ length: batchSize }, (_, b) => step * batchSize + b)
      return readBatch(file, packed, options, rows)
    },
  }
}

function packFile(file: TokenFile, { batchSize, tokens, packing }: BatchOptions, defaultPacking: Packing): PackedSequences {
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw usageError(`batch size: expected at least 1, got ${batchSize}`, { flag: 'batchSize', found: batchSize })
  }
  const packed = packSequences(file.ends, tokens, packing ?? defaultPacking)
  if (packed.count > 0) return packed
  const found = `${file.tokens} tokens in ${file.documents} documents`
  throw usageError(`${file.name}: ${found} are too few for a sequence of ${tokens} + 1; use more data or shorter sequences`, {
    file: file.name,
    expected: tokens + 1,
    found: file.tokens,
  })
}

/** @param rows numbers of sequences; those beyond the last one stand for padding */
async function readBatch(
  file: TokenFile,
  packed: PackedSequences,
  { tokens: T, padTokenId = 0 }: BatchOptions,
  rows: readonly number[],
): Promise<DataBatch> {
  const ids = new Int32Array(rows.length * (T + 1)).fill(padTokenId)
  const weights = new Float32Array(rows.length * T)
  const documents = new Int32Array(rows.length * (T + 1)).fill(-1)
  await Promise.all(
    rows.map(async (row, b) => {
      if (row >= packed.count) return
      const { start, length } = packed.range(row)
      const read = await file.read(start, length)
      ids.set(read.ids, b * (T + 1))
      weights.set(read.counted?.subarray(1) ?? new Float32Array(length - 1).fill(1), b * T)
      let document = firstAbove(file.ends, start)
      for (let t = 0; t < length; t++) {
        if (start + t >= file.ends[document]!) document++
        documents[b * (T + 1) + t] = document
      }
    }),
  )
  return { ids, weights, documents }
}
