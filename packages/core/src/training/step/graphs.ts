/**
 * The graphs of training. A step is two runs: loss and gradients, then AdamW from them. Between the two the host has seen
 * loss and norms, so nothing has been written when a step is refused, and the second run may work in place.
 * What a run renews is an input and comes out as `next.<input>`; frozen weights stay in their files.
 */
import { gradients } from '../../autodiff/index.ts'
import { type Graph, GraphBuilder, type OpName, type Shape, type Value } from '../../graph/index.ts'
import { externalWeights, type FindWeight, type Parameter, type Weights } from '../../model/index.ts'
import { mlpPrefixes } from '../start/prefix-mlp.ts'
import { type LossPlan, nextTokenSurprisals, trainingLoss } from './loss.ts'
import {
  type AdamWOptions,
  type AdamWState,
  adamW,
  adamWScalars,
  atShareOfRate,
  decays,
  rateShare,
  squaredNorms,
} from './optimizer.ts'

export interface TrainPlan extends LossPlan {
  /** What is trained. Only these get gradients and moments. */
  readonly trainable: readonly Parameter[]
  /** Finds all other weights. */
  readonly frozen: FindWeight
  readonly optimizer: AdamWOptions
  /** Of what training aids draw by chance. Default: 0 */
  readonly seed?: number
  /**
   * Prefixes are made by a network of this size, whose parameters (prefixMlpParameters) are trained in their place. Default: they
   * are parameters themselves.
   */
  readonly prefixMlp?: number
}

/** Names of the inputs that belong to a parameter. The parameter's own input has its name. */
export const momentName = (which: 'm' | 'v', parameter: string): string => `${which}.${parameter}`
export const gradientName = (parameter: string): string => `gradient.${parameter}`
/** The output that renews an input. */
export const nextName = (input: string): string => `next.${input}`

/** Only the forward pass: output `surprisals` [B*T, 1], -log p of each target in nats. */
export function evaluationGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('evaluation')
  g.output(nextTokenSurprisals(g, plan, planWeights(g, plan, parameterInputs(g, plan))), 'surprisals')
  return g.build()
}

/**
 * Of what is minimised, which the plan's training aids may make another than the loss. Outputs `loss`, `next.gradient.<name>` for every trained parameter, and `grad_squares`: the squared norm of each of these.
 *
 * `accumulate`: the gradients are added onto inputs `gradient.<name>`, for steps over several micro-batches. `norms`: false leaves out
 * `grad_squares`.
 */
export function gradientGraph(
  plan: TrainPlan,
  { accumulate = false, norms = true }: { readonly accumulate?: boolean; readonly norms?: boolean } = {},
): Graph<OpName> {
  const g = new GraphBuilder('gradients')
  const parameters = parameterInputs(g, plan)
  const { loss, objective } = trainingLoss(g, plan, planWeights(g, plan, parameters))
  const sums = gradients(g, objective, parameters).map((grad, i) => {
    const name = gradientName(parameters[i]!.name)
    const sum = accumulate ? g.add(g.input(name, 'float32', grad.shape), grad) : grad
    g.output(sum, nextName(name))
    return sum
  })
  if (norms) {
    g.output(
      g.scope('clipping', () => squaredNorms(g, sums)),
      'grad_squares',
    )
  }
  g.output(loss, 'loss')
  return g.build()
}

/** AdamW over all parameters in one run, for devices and for CPUs whose runtime fuses: each parameter, its moments and its gradient are inputs. */
export function updateGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('update')
  const scalars = adamWScalars(g)
  const shares = new Set(plan.trainable.map(({ part }) => rateShare(plan.optimizer, part)))
  const scalarsOf = new Map([...shares].map((share) => [share, share === 1 ? scalars : atShareOfRate(g, scalars, share)]))
  for (const { name, shape, part } of plan.trainable) {
    const { state, grad } = updateInputs(g, name, shape)
    const own = scalarsOf.get(rateShare(plan.optimizer, part))!
    updateOutputs(
      g,
      state,
      g.scope(`adamw.${name}`, () => adamW(g, plan.optimizer, own, state, grad, decays(shape))),
    )
  }
  return g.build()
}

/** The name under which `pieceUpdateGraph` knows what it is run on. */
export const piece = 'piece'

/** AdamW over any piece of any parameter: inputs and outputs as of `updateGraph`, for a parameter `piece` [N]. */
export function pieceUpdateGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('piece-update')
  const { state, grad } = updateInputs(g, piece, ['N'])
  updateOutputs(g, state, adamW(g, plan.optimizer, adamWScalars(g), state, grad))
  return g.build()
}

function updateInputs(g: GraphBuilder, name: string, shape: Shape): { state: AdamWState; grad: Value } {
  const input = (of: string) => g.input(of, 'float32', shape)
  const state = { parameter: input(name), m: input(momentName('m', name)), v: input(momentName('v', name)) }
  return { state, grad: input(gradientName(name)) }
}

function updateOutputs(g: GraphBuilder, before: AdamWState, after: AdamWState): void {
  for (const key of ['parameter', 'm', 'v'] as const) g.output(after[key], nextName(before[key].name))
}

/** Copies state from a device: each input comes out as `next.<input>`, to be read. */
export function readBackGraph(places: readonly { readonly name: string; readonly shape: readonly number[] }[]): Graph<OpName> {
  const g = new GraphBuilder('read-back')
  for (const { name, shape } of places) g.output(g.reshape(g.input(name, 'float32', shape), shape), nextName(name))
  return g.build()
}

const parameterInputs = (g: GraphBuilder, plan: TrainPlan): Value[] =>
  plan.trainable.map(({ name, shape }) => g.input(name, 'float32', shape))

function planWeights(g: GraphBuilder, plan: TrainPlan, parameters: readonly Value[]): Weights {
  const trained = new Map(parameters.map((value) => [value.name, value]))
  const frozen = externalWeights(g, plan.frozen)
  const stored: Weights = (name, shape, as) => trained.get(name) ?? frozen(name, shape, as)
  if (plan.prefixMlp === undefined) return stored
  const made = mlpPrefixes(g, plan.config, plan.prefixMlp, stored)
  return (name, shape, as) => made.get(name) ?? stored(name, shape, as)
}
