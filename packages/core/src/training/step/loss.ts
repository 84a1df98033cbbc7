/**
 * The training loss: weighted mean cross-entropy of the next token, over the same decoder and aggregation as generation.
 * All P streams of all sequences are rows of one forward pass without a cache; a prefix is the past that every row begins
 * with, and is trained like any other parameter.
 *
 * Axes: B sequences, P streams, T predicted positions, H hidden, K key/value heads, D head size, V vocabulary.
 */
import type { GraphBuilder, Value } from '../../graph/index.ts'
import {
  aggregate,
  decoder,
  type ModelConfig,
  maskName,
  outputEmbedding,
  type Parameter,
  rotaryHalf,
  sharedPositions,
  streamAdapt,
  type Weights,
} from '../../model/index.ts'
import {
  addedTerms,
  dropoutName,
  type ForwardPass,
  nestedStreams,
  ofDomains,
  smoothingName,
  type TrainingAids,
  withoutDropped,
} from './aids.ts'
import { attendedKeys, gatedMask, gateScores } from './stream-rows.ts'

export interface BatchShape {
  /** B */
  readonly sequences: number
  /** T: predicted positions per sequence, one less than the tokens it has. */
  readonly tokens: number
}

/** What the loss is of; TrainPlan adds how it is lowered. */
export interface LossPlan {
  readonly config: ModelConfig
  /** True: the output matrix is the embedding. */
  readonly tied: boolean
  readonly shape: BatchShape
  /** What is trained. Default: nothing. */
  readonly trainable?: readonly Parameter[]
  /** Attention does not cross documents; positions go on counting. Default: tokens see all that came before them. */
  readonly documentMask?: boolean
  /** What helps while training. Evaluation leaves it out. */
  readonly aids?: TrainingAids
  /** The stream that each document of the data is of, by the documents' numbers in a batch. Needed by the aid domainStreams. */
  readonly domains?: ArrayLike<number>
}

/** A loss that is reported, and what is minimised: the same, or with the terms of training aids. Rank 0. */
export interface TrainingLoss {
  readonly loss: Value
  readonly objective: Value
}

/**
 * The loss under the plan's training aids. Adds the input `loss_weights` [B*T, 1], which sum to 1 for a mean over the step, and
 * those that passNoise feeds.
 */
export function trainingLoss(g: GraphBuilder, plan: LossPlan, weights: Weights): TrainingLoss {
  const { aids = {}, config } = plan
  const pass = { lossWeights: lossWeightsInput(g, plan), ...forwardPass(g, plan, weights, aids) }
  const loss = meanLoss(g, pass)
  const terms = addedTerms(g, config, aids, pass)
  return { loss, objective: terms ? g.add(loss, terms) : loss }
}

/** The weighted sum of the surprisals, rank 0. Adds the input `loss_weights` [B*T, 1], which sum to 1 for a mean. */
export function nextTokenLoss(g: GraphBuilder, plan: LossPlan, weights: Weights): Value {
  return meanLoss(g, { lossWeights: lossWeightsInput(g, plan), surprisals: nextTokenSurprisals(g, plan, weights) })
}

const lossWeightsInput = (g: GraphBuilder, { shape }: LossPlan): Value =>
  g.input('loss_weights', 'float32', [shape.sequences * shape.tokens, 1])

const meanLoss = (g: GraphBuilder, { surprisals, lossWeights }: Pick<ForwardPass, 'surprisals' | 'lossWeights'>): Value =>
  g.scope('loss', () => g.reshape(g.reduceSum(g.mul(surprisals, lossWeights), [0, 1]), []))

/**
 * Adds inputs (see loss-feeds.ts) and forward pass; returns -log p of each target in nats, [B*T, 1].
 *
 * Inputs: `input_ids` int64 [B, T]; `cos`, `sin` [1, T, rotaryHalf]; `mask` (and `mask.windowW`) [1, 1, T, prefix + T], or with
 * `documentMask` [B, 1, T, prefix + T]; `targets` int64 [B*T, 1]. Where streams share keys and values (model/own-window.ts) a mask's last axis is
 * longer by `sharedPositions`.
 */
export const nextTokenSurprisals = (g: GraphBuilder, plan: LossPlan, weights: Weights): Value =>
  forwardPass(g, plan, weights).surprisals

function forwardPass(
  g: GraphBuilder,
  plan: LossPlan,
  weights: Weights,
  aids: TrainingAids = {},
): Omit<ForwardPass, 'lossWeights'> {
  const { config, tied, documentMask = false } = plan
  const { sequences: B, tokens: T } = plan.shape
  const { hiddenSize } = config
  const half = rotaryHalf(config)
  const { n: P, nTokens } = config.parscale
  const ids = g.input('input_ids', 'int64', [B, T])
  const targets = g.input('targets', 'int64', [B * T, 1])
  const table = (name: string) => g.expand(g.input(name, 'float32', [1, T, half]), [P * B, T, half])
  const [cos, sin] = [table('cos'), table('sin')]
  const trained = new Set(plan.trainable?.map(({ name }) => name))
  const masks = new Map<number | null, Value>()
  const places = T + sharedPositions(config.parscale, T)
  const gates = config.parscale.gate ? g.scope('gate', () => gateScores(g, config, weights, places)) : undefined
  for (const window of new Set(config.slidingWindows)) {
    const mask = g.input(maskName(window), 'float32', [documentMask ? B : 1, 1, T, nTokens + places])
    masks.set(window, gates ? g.scope('gate', () => gatedMask(g, mask, gates, B)) : mask)
  }
  const { hidden } = decoder(g, config, weights, {
    inputIds: ids,
    cos,
    sin,
    mask: (window) => masks.get(window)!,
    attended: (layer, present) => [attendedKeys(g, config, weights, layer, B, present)],
    adapt: streamAdapt(g, config, weights, { rows: B * T, trained }),
    branch: aids.dropout
      ? (layer, branch, y) => g.mul(y, g.input(dropoutName(layer, branch), 'float32', [B * P * T, hiddenSize]))
      : undefined,
  })
  const streams = g.transpose(g.reshape(hidden, [P, B, T, hiddenSize]), [1, 2, 0, 3]) // [B, T, P, H]
  const together = g.reshape(streams, [B * T, P, hiddenSize])
  const surprisalsOf = (hidden: Value, targets: Value) => {
    const logits = outputEmbedding(g, config, weights, tied, hidden)
    return g.scope('surprisals', () => g.sub(logSumExp(g, logits), g.gatherElements(logits, targets, 1)))
  }
  const ownSurprisals = () => {
    const each = g.reshape(g.expand(targets, [B * T, P]), [B * T * P, 1])
    return g.reshape(surprisalsOf(g.reshape(together, [B * T * P, hiddenSize]), each), [B * T, P])
  }
  const pass = { hidden: together, ownSurprisals }
  if (P === 1) return { ...pass, surprisals: surprisalsOf(g.reshape(together, [B * T, hiddenSize]), targets) }
  let streamWeights: Value | undefined
  let domainSurprisals: Value | undefined
  const aggregated = aggregate(g, config, weights, together, {
    smoothing: aids.smoothing ? g.input(smoothingName, 'float32', [1]) : undefined,
    kept: aids.nestStreams ? g.scope('nest-streams', () => nestedStreams(g, B * T, P, B)) : undefined,
    reweigh: (given) => {
      streamWeights = given
      if (aids.domainStreams) {
        const own = g.scope('domain-streams', () => ofDomains(g, given))
        domainSurprisals = own.surprisals
        return own.kept
      }
      return aids.dropStreams ? g.scope('drop-streams', () => withoutDropped(g, given, B)) : given
    },
  })
  if (config.parscale.merge === 'hidden') {
    return { ...pass, surprisals: surprisalsOf(aggregated.hidden, targets), streamWeights, domainSurprisals }
  }
  const own = ownSurprisals()
  // -log sum_p w_p exp(-surprisal_p)
  const joint = g.sub(g.log(aggregated.streamWeights), own)
  const surprisals = g.scope('mixture', () => g.neg(logSumExp(g, joint)))
  return { ...pass, surprisals, streamWeights, domainSurprisals, ownSurprisals: () => own }
}

/**
 * log(sum(exp(x))) of each row: [rows, C] to [rows, 1]. The largest of a row is taken out, so that nothing overflows. (The
 * operator ReduceLogSumExp takes several times as long, and its gradient would need a softmax.)
 */
function logSumExp(g: GraphBuilder, x: Value): Value {
  const largest = g.reduceMax(x, [1])
  return g.add(g.log(g.reduceSum(g.exp(g.sub(x, largest)), [1])), largest)
}
