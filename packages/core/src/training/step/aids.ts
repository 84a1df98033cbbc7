/**
 * What helps a model while it trains and is not part of it: off in evaluation, and of no trace in what is saved. Some change
 * the forward pass by chance, others add a term to what is minimised; the loss that is reported never has the term.
 *
 *   dropout   elements of what attention and MLP add to the residual are left out, and the others scaled up: GPT-2's
 *             `resid_pdrop` (dropout-masks.ts)
 *   balance   W (P sum_p m_p^2 - 1), where m_p is stream p's mean weight over the tokens of a pass: 0 where all streams have
 *             as much, P - 1 where one has everything. The squared coefficient of variation of the streams' importance, which is
 *             the balancing loss of mixtures of experts (arXiv 1701.06538, equation 7); here weights are smooth, so it is, too
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
}

/** Name of the mask of what a layer's branch adds to the residual. */
export const dropoutName = (layer: number, branch: Branch): string => `dropout.${layer}.${branch}`

/** What the terms are made of. */
export interface ForwardPass {
  /** -log p of each target: [N, 1]. */
  readonly surprisals: Value
  /** How much each target counts: [N, 1]. */
  readonly lossWeights: Value
  /** The aggregation's [N, P]; undefined with one stream. */
  readonly streamWeights?: Value | undefined
}

/** Whether the aggregator can be kept from giving everything to one stream: where it has a say for each token. */
export const canBalance = ({ parscale: { n, aggregation } }: Pick<ModelConfig, 'parscale'>): boolean =>
  n > 1 && aggregation === 'dynamic'

/** All terms that are added to the loss together, rank 0; undefined where there is none. */
export function addedTerms(g: GraphBuilder, config: ModelConfig, aids: TrainingAids, pass: ForwardPass): Value | undefined {
  const terms: Value[] = []
  const { balance = 0 } = aids
  if (balance > 0 && canBalance(config)) terms.push(g.scope('balance', () => weighted(g, balance, imbalance(g, pass))))
  return terms.length > 0 ? terms.reduce(g.add) : undefined
}

const weighted = (g: GraphBuilder, weight: number, term: Value): Value => g.mul(g.reshape(term, []), g.scalar(weight))

/** s (P sum_p m_p^2 - 1), [1, 1], where s is what the pass's loss weights sum to and s m_p is what they make of the weights. */
function imbalance(g: GraphBuilder, { streamWeights, lossWeights }: ForwardPass): Value {
  const P = streamWeights!.shape[1] as number
  const sums = g.reduceSum(g.mul(streamWeights!, lossWeights), [0]) // s m_p: [1, P]
  const share = g.reduceSum(lossWeights, [0]) // s: [1, 1]
  // A pass of which no token counts has s = 0, and no term.
  const squares = g.div(g.reduceSumSquare(sums, [1]), g.add(share, g.scalar(1e-12)))
  return g.sub(g.mul(squares, g.scalar(P)), share)
}
