/**
 * The graphs of training: loss, gradients, clipping and AdamW in one, so that one run is one step; and the same in two
 * parts, for steps over several micro-batches. Trained parameters and their moments are inputs and come out renewed as
 * `next.<input>`; frozen weights stay in their files.
 */
import { gradients } from '../autodiff/index.ts'
import { type Graph, GraphBuilder, type OpName, type Value } from '../graph/index.ts'
import { externalWeights, type FindWeight, type Parameter, type Weights } from '../model/index.ts'
import { type LossPlan, nextTokenLoss, nextTokenSurprisals } from './loss.ts'
import { type AdamWOptions, adamW, adamWScalars, atShareOfRate, clipping } from './optimizer.ts'
import { mlpPrefixes } from './prefix-mlp.ts'

export interface TrainPlan extends LossPlan {
  /** What is trained. Only these get gradients and moments. */
  readonly trainable: readonly Parameter[]
  /** Finds all other weights. */
  readonly frozen: FindWeight
  readonly optimizer: AdamWOptions
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
 * One step. Outputs `loss`, `grad_norm`, `grad_scale` (rank 0), `grad_squares` (one per trained parameter), and every
 * parameter and moment renewed.
 */
export function stepGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('train-step')
  const { loss, parameters } = forward(g, plan)
  update(g, plan, parameters, gradients(g, loss, parameters))
  g.output(loss, 'loss')
  return g.build()
}

/** A micro-batch: outputs `loss` and, for every trained parameter, the input `gradient.<name>` with its own added on. */
export function gradientGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('gradients')
  const { loss, parameters } = forward(g, plan)
  for (const [i, grad] of gradients(g, loss, parameters).entries()) {
    const name = gradientName(parameters[i]!.name)
    g.output(g.add(g.input(name, 'float32', grad.shape), grad), nextName(name))
  }
  g.output(loss, 'loss')
  return g.build()
}

/** The end of a step over micro-batches: as `stepGraph`, from gradients that are inputs. */
export function updateGraph(plan: TrainPlan): Graph<OpName> {
  const g = new GraphBuilder('update')
  const parameters = parameterInputs(g, plan)
  const grads = parameters.map(({ name, shape }) => g.input(gradientName(name), 'float32', shape))
  update(g, plan, parameters, grads)
  return g.build()
}

/** Copies state from a device: each input comes out as `next.<input>`, to be read. */
export function readBackGraph(places: readonly { readonly name: string; readonly shape: readonly number[] }[]): Graph<OpName> {
  const g = new GraphBuilder('read-back')
  for (const { name, shape } of places) g.output(g.reshape(g.input(name, 'float32', shape), shape), nextName(name))
  return g.build()
}

const parameterInputs = (g: GraphBuilder, plan: TrainPlan): Value[] =>
  plan.trainable.map(({ name, shape }) => g.input(name, 'float32', shape))

function forward(g: GraphBuilder, plan: TrainPlan): { loss: Value; parameters: Value[] } {
  const parameters = parameterInputs(g, plan)
  return { loss: nextTokenLoss(g, plan, planWeights(g, plan, parameters)), parameters }
}

function planWeights(g: GraphBuilder, plan: TrainPlan, parameters: readonly Value[]): Weights {
  const trained = new Map(parameters.map((value) => [value.name, value]))
  const frozen = externalWeights(g, plan.frozen)
  const stored: Weights = (name, shape, as) => trained.get(name) ?? frozen(name, shape, as)
  if (plan.prefixMlp === undefined) return stored
  const made = mlpPrefixes(g, plan.config, plan.prefixMlp, stored)
  return (name, shape, as) => made.get(name) ?? stored(name, shape, as)
}

function update(g: GraphBuilder, plan: TrainPlan, parameters: readonly Value[], grads: readonly Value[]): void {
  const { squares, norm, scale } = g.scope('clipping', () => clipping(g, grads, plan.optimizer.maxGradNorm))
  const scalars = adamWScalars(g)
  const aggregatorScalars = atShareOfRate(g, scalars, plan.optimizer.aggregatorRate ?? 1)
  for (const [i, parameter] of parameters.entries()) {
    const moment = (which: 'm' | 'v') => g.input(momentName(which, parameter.name), 'float32', parameter.shape)
    const state = { parameter, m: moment('m'), v: moment('v') }
    const own = plan.trainable[i]!.part === 'aggregation' ? aggregatorScalars : scalars
    const next = g.scope(`adamw.${parameter.name}`, () => adamW(g, plan.optimizer, own, state, grads[i]!, scale))
    for (const key of ['parameter', 'm', 'v'] as const) g.output(next[key], nextName(state[key].name))
  }
  g.output(norm, 'grad_norm')
  g.output(scale, 'grad_scale')
  g.output(squares, 'grad_squares')
}
