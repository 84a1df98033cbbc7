/** What the loss (loss.ts) is fed: token ids and their weights for each batch, tables and masks once for all. */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../errors.ts'
import { batchFeeds } from '../generation/index.ts'
import { type ModelConfig, RopeTable } from '../model/index.ts'
import type { BatchShape } from './loss.ts'

export interface TokenBatch {
  /** Token ids [B, T + 1], row by row: each sequence's token t + 1 is what is predicted after token t. */
  readonly ids: ArrayLike<number>
  /** How much each predicted position counts, [B, T], in proportion to the others of the step. Default: all the same. */
  readonly weights?: ArrayLike<number>
}

type Feeds = Record<string, Tensor>

/** `cos`, `sin` and masks: the same for every batch of this shape. Positions count from 0, behind the prefix. */
export function positionFeeds(config: ModelConfig, { sequences, tokens }: BatchShape): Feeds {
  const { n, nTokens } = config.parscale
  if (tokens > config.maxPositionEmbeddings) {
    throw usageError(
      `tokens: ${tokens} positions, but the model has ${config.maxPositionEmbeddings}; train on shorter sequences`,
      {
        flag: 'tokens',
        expected: config.maxPositionEmbeddings,
        found: tokens,
      },
    )
  }
  const row = { ids: new Array<number>(tokens).fill(0), prefix: nTokens, length: 0, firstPosition: 0 }
  const rows = new Array<typeof row>(sequences * n).fill(row)
  const { input_ids: _, ...feeds } = batchFeeds(config, new RopeTable(config), rows, nTokens)
  return feeds
}

/**
 * `input_ids`, `targets` and `loss_weights` of the batches of one step. The weights of all batches together sum to 1, so
 * that the sum of the batches' losses is the mean over the step, and so with gradients.
 *
 * @throws usage error for a batch of another shape, an id that is not in the vocabulary, or weights that sum to nothing
 */
export function tokenFeeds(config: ModelConfig, shape: BatchShape, batches: readonly TokenBatch[]): Feeds[] {
  const positions = shape.sequences * shape.tokens
  const weights = batches.map((batch) => Float64Array.from(batch.weights ?? new Array<number>(positions).fill(1)))
  for (const { length } of weights) {
    if (length !== positions) throw usageError(`batch: expected ${positions} loss weights, got ${length}`)
  }
  const total = weights.reduce((sum, of) => of.reduce((a, b) => a + b, sum), 0)
  if (!(total > 0)) throw usageError(`loss weights: the weights of a step sum to ${total}, so there is nothing to learn from`)
  return batches.map(({ ids }, i) => ({
    ...idFeeds(config, shape, ids),
    loss_weights: new Tensor(
      'float32',
      Float32Array.from(weights[i]!, (w) => w / total),
      [positions, 1],
    ),
  }))
}

function idFeeds(config: ModelConfig, { sequences: B, tokens: T }: BatchShape, ids: ArrayLike<number>): Feeds {
  const { n: P } = config.parscale
  if (ids.length !== B * (T + 1)) {
    throw usageError(`batch: expected ${B} sequences of ${T + 1} tokens, ${B * (T + 1)} in all, got ${ids.length}`)
  }
  const inputs = new BigInt64Array(B * P * T)
  const targets = new BigInt64Array(B * T)
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    if (!(Number.isInteger(id) && id >= 0 && id < config.vocabSize)) {
      throw usageError(`batch: token id ${id} at ${i} is not in the vocabulary of ${config.vocabSize}`, { found: id })
    }
    const [b, t] = [Math.floor(i / (T + 1)), i % (T + 1)]
    if (t > 0) targets[b * T + t - 1] = BigInt(id)
    for (let p = 0; t < T && p < P; p++) inputs[(b * P + p) * T + t] = BigInt(id)
  }
  return { input_ids: new Tensor('int64', inputs, [B * P, T]), targets: new Tensor('int64', targets, [B * T, 1]) }
}
