/** What the loss (loss.ts) is fed: token ids and their weights for each batch, tables and masks once for all. */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../../errors.ts'
import { batchFeeds, hiddenScore } from '../../generation/index.ts'
import { type ModelConfig, maskName, RopeTable, sharedPositions, windowsOf } from '../../model/index.ts'
import type { BatchShape, LossPlan } from './loss.ts'

export interface TokenBatch {
  /** Token ids [B, T + 1], row by row: each sequence's token t + 1 is what is predicted after token t. */
  readonly ids: ArrayLike<number>
  /** How much each predicted position counts, [B, T], in proportion to the others of the step. Default: all the same. */
  readonly weights?: ArrayLike<number>
  /** Number of the document that each token belongs to, [B, T + 1]. Needed where the plan says `documentMask`. */
  readonly documents?: ArrayLike<number>
}

type Feeds = Record<string, Tensor>

/** Of the batches of a step: only those from `start` up to `end`, exclusive. */
interface Some {
  readonly start: number
  readonly end: number
}

/** Feeds of the batches of one step, or of some of them. What is the same in every step is made once. */
export function lossFeeds(plan: LossPlan): (batches: readonly TokenBatch[], some?: Some) => Feeds[] {
  const { config, shape, documentMask = false } = plan
  const positions = positionFeeds(config, shape)
  const { cos, sin, ...masks } = positions
  const common = { cos: cos!, sin: sin!, ...sharedMasks(config, masks) }
  return (batches, some = { start: 0, end: batches.length }) =>
    tokenFeeds(config, shape, batches, some).map((feeds, i) => ({
      ...common,
      ...feeds,
      ...(documentMask ? sharedMasks(config, documentMasks(config, shape, positions, batches[some.start + i]!.documents)) : {}),
    }))
}

/**
 * `cos`, `sin` [1, T, D/2] and a mask [1, 1, T, prefix + T] per window: the same for all rows and all batches. Positions
 * count from 0, behind the prefix; each token sees the prefix and what came before it.
 */
export function positionFeeds(config: ModelConfig, { tokens }: BatchShape): Feeds {
  const { nTokens } = config.parscale
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
  const { input_ids: _, ...feeds } = batchFeeds(config, new RopeTable(config), [row], nTokens)
  return feeds
}

/**
 * `input_ids`, `targets` and `loss_weights` of the batches of one step. The weights of all batches together sum to 1, so
 * that the sum of the batches' losses is the mean over the step, and so with gradients.
 *
 * @throws usage error for a batch of another shape, an id that is not in the vocabulary, or weights that sum to nothing
 */
export function tokenFeeds(
  config: ModelConfig,
  shape: BatchShape,
  batches: readonly TokenBatch[],
  { start, end }: Some = { start: 0, end: batches.length },
): Feeds[] {
  const positions = shape.sequences * shape.tokens
  const weights = batches.map((batch) => Float64Array.from(batch.weights ?? new Array<number>(positions).fill(1)))
  for (const { length } of weights) {
    if (length !== positions) throw usageError(`batch: expected ${positions} loss weights, got ${length}`)
  }
  const total = weights.reduce((sum, of) => of.reduce((a, b) => a + b, sum), 0)
  if (!(total > 0)) throw usageError(`loss weights: the weights of a step sum to ${total}, so there is nothing to learn from`)
  return batches.slice(start, end).map(({ ids }, i) => ({
    ...idFeeds(config, shape, ids),
    loss_weights: new Tensor(
      'float32',
      Float32Array.from(weights[start + i]!, (w) => w / total),
      [positions, 1],
    ),
  }))
}

function idFeeds(config: ModelConfig, shape: BatchShape, ids: ArrayLike<number>): Feeds {
  const { sequences: B, tokens: T } = shape
  requireTokens(shape, ids)
  const inputs = new BigInt64Array(B * T)
  const targets = new BigInt64Array(B * T)
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    if (!(Number.isInteger(id) && id >= 0 && id < config.vocabSize)) {
      throw usageError(`batch: token id ${id} at ${i} is not in the vocabulary of ${config.vocabSize}`, { found: id })
    }
    const [b, t] = [Math.floor(i / (T + 1)), i % (T + 1)]
    if (t > 0) targets[b * T + t - 1] = BigInt(id)
    if (t < T) inputs[b * T + t] = BigInt(id)
  }
  return { input_ids: new Tensor('int64', inputs, [B, T]), targets: new Tensor('int64', targets, [B * T, 1]) }
}

/** Masks [B, 1, T, prefix + T]: as for all sequences, and nothing of another document is seen. */
function documentMasks(config: ModelConfig, shape: BatchShape, common: Feeds, documents: ArrayLike<number> | undefined): Feeds {
  const { sequences: B, tokens: T } = shape
  const { nTokens } = config.parscale
  if (!documents) throw usageError('batch: the document of each token is needed, as attention must not cross documents')
  requireTokens(shape, documents, ' document numbers')
  const places = nTokens + T
  const masks = windowsOf(config).map((window): [string, Tensor] => {
    const causal = common[maskName(window)]!.data as Float32Array
    const mask = new Float32Array(B * T * places)
    for (let b = 0; b < B; b++) {
      const document = (t: number) => documents[b * (T + 1) + t]
      mask.set(causal, b * T * places)
      for (let t = 0; t < T; t++) {
        const line = (b * T + t) * places + nTokens
        for (let s = 0; s < t; s++) if (document(s) !== document(t)) mask[line + s] = hiddenScore
      }
    }
    return [maskName(window), new Tensor('float32', mask, [B, 1, T, places])]
  })
  return Object.fromEntries(masks)
}

/**
 * Masks [.., 1, T, prefix + T + sharedPositions] of such without the last: what lies within the window of own keys and values (model/own-window.ts) stays
 * where it was, what lies before it is seen among the shared ones.
 */
function sharedMasks({ parscale }: ModelConfig, masks: Feeds): Feeds {
  const { nTokens, ownWindow } = parscale
  const shared = ([name, mask]: [string, Tensor]): [string, Tensor] => {
    const [rows, , T, places] = mask.dims as [number, number, number, number]
    const S = sharedPositions(parscale, T)
    if (ownWindow === null || S === 0) return [name, mask]
    const from = mask.data as Float32Array
    const to = new Float32Array(rows * T * (places + S)).fill(hiddenScore)
    for (let line = 0; line < rows * T; line++) {
      const own = Math.max(0, (line % T) - ownWindow + 1)
      const seen = from.subarray(line * places, (line + 1) * places)
      const out = to.subarray(line * (places + S), (line + 1) * (places + S))
      out.set(seen.subarray(0, nTokens))
      out.set(seen.subarray(nTokens + own), nTokens + own)
      out.set(seen.subarray(nTokens, nTokens + own), places)
    }
    return [name, new Tensor('float32', to, [rows, 1, T, places + S])]
  }
  return Object.fromEntries(Object.entries(masks).map(shared))
}

function requireTokens({ sequences: B, tokens: T }: BatchShape, array: ArrayLike<number>, what = ''): void {
  const expected = B * (T + 1)
  if (array.length === expected) return
  throw usageError(`batch: expected ${B} sequences of ${T + 1} tokens, ${expected} in all, got ${array.length}${what}`)
}
