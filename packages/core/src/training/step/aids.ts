/**
 * What helps a model while it trains and is not part of it: off in evaluation, and of no trace in what is saved. Some change
 * the forward pass by chance, others add a term to what is minimised; the loss that is reported never has the term.
 *
 *   dropout   elements of what attention and MLP add to the residual are left out, and the others scaled up: GPT-2's
 *             `resid_pdrop` (dropout-masks.ts)
 *   balance   W (P sum_p m_p^2 - 1), where m_p is stream p's mean weight over the tokens of a pass: 0 where all streams have
 *             as much, P - 1 where one has everything. The squared coefficient of variation of the streams' importance, which is
 *             the balancing loss of mixtures of experts (arXiv 1701.06538, equation 7); here weights are smooth, so it is, too
 *   decorrelate  W times the mean squared cosine of two streams' last hidden states, each feature of a stream first standardised
 *             over the tokens of a pass: 1 where streams give the same, about 1 / H where they have nothing in common. As in ND-LoRA
 *             (arXiv 2510.20690), but by tokens and with features whitened one by one
 *   ownLoss   the share W of what is minimised is the mean of the losses that each stream would have alone, the rest the loss of all
 *             together
 *   dropStreams  in every sequence of a pass each stream is left out with this probability, and the weights of the others are scaled up
 *             to sum to 1; where all would be, none is. All other terms see the weights as the aggregation gave them
 *   nestStreams  with this probability a sequence has its first 1, 2, 4, ... streams only, each number as likely, and the aggregator sees
 *             no others: nested dropout (Rippel et al. 2014, arXiv 1402.0915) of streams. The first streams are then a model of a
 *             smaller P, on the same backbone
 *   domainStreams  with this probability a sequence is left to the stream of its domain: documents are sorted into P kinds of text
 *              (data/document-domains.ts), one for each stream, as the experts of a branch-train-merge are (arXiv 2208.03306, 2303.14177).
 *              The other sequences have all streams. 0.1 times -log of the weight of a token's own stream, where it is left to that, is
 *              added, which teaches the aggregator whom to follow
 *   smoothing   the e of w' = w (1 - e) + e / P is fed, so that it can change over a run
 *
 * Means over tokens are weighted as the loss is. A pass counts by its share of the step's tokens, so that terms of micro-batches
 * add up as losses do; a term that is not a mean, as that of `balance`, is then the mean of the passes' own.
 *
 * Axes: B sequences, P streams, T predicted positions, H hidden; N = B*T.
 */
import type { GraphBuilder, Value } from '../../graph/index.ts'
import type { Branch, ModelConfig } from '../../model/index.ts'

/** Each is 0 or absent where it is off. */
export interface TrainingAids {
  /** The share of elements that is left out, at least 0 and below 1. */
  readonly dropout?: number
  /** Weight W of the balance term, in nats. */
  readonly balance?: number
  /** Weight W of the decorrelation term, in nats. */
  readonly decorrelate?: number
  /** Share W of the streams' own losses, 0 to 1. */
  readonly ownLoss?: number
  /** The probability that a stream is left out, at least 0 and below 1. */
  readonly dropStreams?: number
  /** The probability that a sequence has its first streams only, at least 0 and below 1. */
  readonly nestStreams?: number
  /** The probability that a sequence is left to the stream of its domain, at least 0 and below 1. */
  readonly domainStreams?: number
  /** The aggregation's smoothing is an input; the configuration's is then that of evaluation only. */
  readonly smoothing?: boolean
}

/** Name of the mask of what a layer's branch adds to the residual. */
export const dropoutName = (layer: number, branch: Branch): string => `dropout.${layer}.${branch}`

/** Names of which streams of each sequence are kept: [B, P]. */
export const keptStreamsName = 'kept_streams'
export const firstStreamsName = 'first_streams'
/** Of each token: [B*T, P], as a sequence may hold several documents. */
export const domainStreamsName = 'domain_streams'
/**
 * What stands for 0 where a stream is left out: below float32's rounding of what the others give, yet the logarithm of the weight, which
 * a mixture of probabilities takes, stays finite.
 */
export const leftOut = 1e-12

/** Name of the smoothing, [1]. */
export const smoothingName = 'smoothing'

/** What the terms are made of. */
export interface ForwardPass {
  /** -log p of each target: [N, 1]. */
  readonly surprisals: Value
  /** How much each target counts: [N, 1]. */
  readonly lossWeights: Value
  /** As the aggregation gave them, [N, P]; undefined with one stream. */
  readonly streamWeights?: Value | undefined
  /** -log of the weight of each token's own stream where `domainStreams` leaves it to that, else 0: [N, 1]. */
  readonly domainSurprisals?: Value | undefined
  /** The streams' last hidden states, after the final norm: [N, P, H]. */
  readonly hidden: Value
  /** -log p of each target by each stream alone: [N, P]. Called at most once, as this may take P output embeddings. */
  readonly ownSurprisals: () => Value
}

/** Whether the aggregator can be kept from giving everything to one stream: where it has a say for each token. */
export const canBalance = ({ parscale: { n, aggregation } }: Pick<ModelConfig, 'parscale'>): boolean =>
  n > 1 && aggregation === 'dynamic'

/** All terms that are added to the loss together, rank 0; undefined where there is none. */
export function addedTerms(g: GraphBuilder, config: ModelConfig, aids: TrainingAids, pass: ForwardPass): Value | undefined {
  const terms: Value[] = []
  const { balance = 0, decorrelate = 0, ownLoss = 0 } = aids
  const several = config.parscale.n > 1
  if (balance > 0 && canBalance(config)) terms.push(g.scope('balance', () => weighted(g, balance, imbalance(g, pass))))
  if (decorrelate > 0 && several) {
    terms.push(g.scope('decorrelate', () => weighted(g, decorrelate, similarity(g, pass))))
  }
  if (pass.domainSurprisals) {
    terms.push(
      g.scope('domain', () => weighted(g, domainWeight, g.reduceSum(g.mul(pass.domainSurprisals!, pass.lossWeights), [0]))),
    )
  }
  // (1 - W) loss + W own = loss + W (own - loss)
  if (ownLoss > 0 && several) terms.push(g.scope('own-loss', () => weighted(g, ownLoss, ownExcess(g, pass))))
  return terms.length > 0 ? terms.reduce(g.add) : undefined
}

/** Of what teaches the aggregator a token's domain: at 1 its gradient is most of the streams' own, too. */
const domainWeight = 0.1

const weighted = (g: GraphBuilder, weight: number, term: Value): Value => g.mul(g.reshape(term, []), g.scalar(weight))

/** s (P sum_p m_p^2 - 1), [1, 1], where s is what the pass's loss weights sum to and s m_p is what they make of the weights. */
function imbalance(g: GraphBuilder, { streamWeights, lossWeights }: ForwardPass): Value {
  const P = streamWeights!.shape[1] as number
  const sums = g.reduceSum(g.mul(streamWeights!, lossWeights), [0]) // s m_p: [1, P]
  const share = g.reduceSum(lossWeights, [0]) // s: [1, 1]
  const squares = g.div(g.reduceSumSquare(sums, [1]), aboveZero(g, share))
  return g.sub(g.mul(squares, g.scalar(P)), share)
}

/** For a divisor: a pass of which no token counts has a share of 0, and no term. */
const aboveZero = (g: GraphBuilder, share: Value): Value => g.add(share, g.scalar(1e-12))

/** sum_t w_t mean_(p != q) cos^2(z_p(t), z_q(t)), with w the loss weights: [1, 1]. */
function similarity(g: GraphBuilder, { hidden, lossWeights }: ForwardPass): Value {
  const [N, P, H] = hidden.shape as [number, number, number]
  const counts = g.reshape(lossWeights, [N, 1, 1])
  const share = aboveZero(g, g.reduceSum(counts, [0]))
  const mean = (x: Value) => g.div(g.reduceSum(g.mul(x, counts), [0]), share) // [1, P, H]
  const centred = g.sub(hidden, mean(hidden))
  const deviation = g.sqrt(g.add(mean(g.mul(centred, centred)), g.scalar(1e-6)))
  const z = g.div(centred, deviation)
  const length = g.sqrt(g.add(g.reduceSumSquare(z, [2]), g.scalar(1e-6 * H))) // [N, P, 1]
  const unit = g.div(z, length)
  const cosines = g.matMul(unit, g.transpose(unit, [0, 2, 1])) // [N, P, P]
  const others = Float32Array.from({ length: P * P }, (_, i) => Number(i % (P + 1) !== 0))
  const squares = g.mul(g.mul(cosines, cosines), g.constant(others, [P, P]))
  const perToken = g.reshape(g.reduceSum(squares, [1, 2]), [N, 1])
  return g.mul(g.reduceSum(g.mul(perToken, lossWeights), [0]), g.scalar(1 / (P * (P - 1))))
}

/** By how much the mean of the streams' own losses is above the loss: [1, 1]. */
function ownExcess(g: GraphBuilder, { surprisals, ownSurprisals, lossWeights }: ForwardPass): Value {
  const own = ownSurprisals()
  const mean = g.mul(g.reduceSum(own, [1]), g.scalar(1 / (own.shape[1] as number)))
  return g.reduceSum(g.mul(g.sub(mean, surprisals), lossWeights), [0])
}

/** Weights [N, P] with those of the streams that are left out next to 0; the rows sum to 1 again. Adds the input `kept_streams`. */
export function withoutDropped(g: GraphBuilder, streamWeights: Value, B: number): Value {
  const left = g.mul(streamWeights, keptByToken(g, keptStreamsName, streamWeights.shape as [number, number], B))
  return g.div(left, g.reduceSum(left, [1]))
}

/**
 * Weights [N, P] of which the streams of other domains have next to nothing, and -log of what a token's own stream had, [N, 1]: 0 where
 * all streams stay. Adds the input `domain_streams`.
 */
export function ofDomains(g: GraphBuilder, streamWeights: Value): { readonly kept: Value; readonly surprisals: Value } {
  const left = g.mul(streamWeights, g.input(domainStreamsName, 'float32', streamWeights.shape as [number, number]))
  const sum = g.reduceSum(left, [1])
  return { kept: g.div(left, sum), surprisals: g.neg(g.log(sum)) }
}

/** Which streams each token has, [N, P], where `nestStreams` leaves some sequences the first ones only. Adds the input `first_streams`. */
export const nestedStreams = (g: GraphBuilder, N: number, P: number, B: number): Value =>
  keptByToken(g, firstStreamsName, [N, P], B)

function keptByToken(g: GraphBuilder, name: string, [N, P]: readonly [number, number], B: number): Value {
  const kept = g.input(name, 'float32', [B, P])
  return g.reshape(g.expand(g.unsqueeze(kept, 1), [B, N / B, P]), [N, P])
}
