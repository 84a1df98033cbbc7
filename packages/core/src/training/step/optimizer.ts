/**
 * AdamW with decoupled weight decay (I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101)
 * and clipping by the global norm.
 *
 * What changes from step to step comes into the graph as scalars, computed in float64: 1 - beta^t has few digits left in
 * float32.
 */
import { Tensor } from 'onnxruntime-common'
import type { GraphBuilder, Value } from '../../graph/index.ts'
import type { Part } from '../../model/index.ts'

export interface AdamWOptions {
  readonly betas: readonly [number, number]
  readonly epsilon: number
  /** Per unit of learning rate, on matrices only: see `decays`. */
  readonly weightDecay: number
  /** The L2 norm over all gradients together that a step may have. Infinity: no clipping. */
  readonly maxGradNorm: number
  /** The aggregator's learning rate, as a share of everything else's. Default: 1. */
  readonly aggregatorRate?: number
  /** The same of what tells streams apart: prefixes, scales, lora, biases, gains. Default: 1. */
  readonly streamRate?: number
}

/** A parameter's share of the learning rate. */
export function rateShare({ aggregatorRate = 1, streamRate = 1 }: AdamWOptions, part: Part): number {
  if (part === 'aggregation') return aggregatorRate
  return part === 'prefix' || part === 'adapter' ? streamRate : 1
}

/** Matrices (linear layers and embeddings) decay; biases, norms and prefixes do not. */
export const decays = (shape: readonly unknown[]): boolean => shape.length === 2

/** float32 of rank 0 each; see `adamWFeeds`. */
export interface AdamWScalars {
  readonly meanShare: Value
  readonly squareShare: Value
  readonly stepSize: Value
  readonly epsilon: Value
  /** What decay leaves of a parameter. */
  readonly keep: Value
}

export function adamWScalars(g: GraphBuilder): AdamWScalars {
  const scalar = (name: string) => g.input(`adamw.${name}`, 'float32', [])
  return {
    meanShare: scalar('mean_share'),
    squareShare: scalar('square_share'),
    stepSize: scalar('step_size'),
    epsilon: scalar('epsilon'),
    keep: scalar('keep'),
  }
}

/** The same at `share` of the learning rate. */
export function atShareOfRate(g: GraphBuilder, scalars: AdamWScalars, share: number): AdamWScalars {
  const scaled = (value: Value) => g.mul(value, g.scalar(share))
  return { ...scalars, stepSize: scaled(scalars.stepSize), keep: g.add(scaled(scalars.keep), g.scalar(1 - share)) }
}

/** What the scalars of a step follow from. */
export interface AdamWStep {
  readonly learningRate: number
  /** 1, 2, ... */
  readonly step: number
  /** What clipping multiplies the gradients by; it joins the scalars, so that no gradient is scaled. */
  readonly gradScale: number
}

/**
 * The scalars of step t = 1, 2, ... Bias correction divides m by c1 = 1 - b1^t and v by c2 = 1 - b2^t. Multiplied out,
 *
 *   lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2)),
 *
 * so that no array needs to be corrected.
 */
export function adamWFeeds(
  options: AdamWOptions,
  { learningRate, step, gradScale }: AdamWStep,
  decaying = true,
): Record<string, Tensor> {
  const [b1, b2] = options.betas
  const [c1, c2] = [1 - b1 ** step, 1 - b2 ** step]
  const scalar = (value: number) => new Tensor('float32', Float32Array.of(value), [])
  return {
    'adamw.mean_share': scalar((1 - b1) * gradScale),
    'adamw.square_share': scalar((1 - b2) * gradScale ** 2),
    'adamw.step_size': scalar((learningRate * Math.sqrt(c2)) / c1),
    'adamw.epsilon': scalar(options.epsilon * Math.sqrt(c2)),
    'adamw.keep': scalar(decaying ? 1 - learningRate * options.weightDecay : 1),
  }
}

/** The squared norm of each gradient, [n]: infinite or NaN where the gradient is. */
export function squaredNorms(g: GraphBuilder, grads: readonly Value[]): Value {
  const square = (grad: Value) => g.reshape(g.reduceSumSquare(grad, [...grad.shape.keys()]), [1])
  return g.concat(grads.map(square), 0)
}

export interface Clipping {
  /** L2 norm over all gradients. */
  readonly gradNorm: number
  /** What every gradient is to be multiplied by: min(1, maxGradNorm / (norm + 1e-6)). */
  readonly gradScale: number
}

/** @param squares of each gradient's norm, or of those of its pieces */
export function clipping(squares: Iterable<number>, maxGradNorm: number): Clipping {
  let sum = 0
  for (const square of squares) sum += square
  const gradNorm = Math.sqrt(sum)
  return { gradNorm, gradScale: Math.min(1, maxGradNorm / (gradNorm + 1e-6)) }
}

export interface AdamWState {
  readonly parameter: Value
  /** Running means of the gradient and of its square. */
  readonly m: Value
  readonly v: Value
}

/**
 * One parameter's step, from its gradient before clipping. Everything is elementwise, and each array of the state has one
 * reader, from which its successor is computed: they may share memory.
 */
export function adamW(
  g: GraphBuilder,
  options: AdamWOptions,
  scalars: AdamWScalars,
  { parameter, m, v }: AdamWState,
  grad: Value,
  decaying = true,
): AdamWState {
  const [b1, b2] = options.betas
  const newM = g.add(g.mul(m, g.scalar(b1)), g.mul(grad, scalars.meanShare))
  const newV = g.add(g.mul(v, g.scalar(b2)), g.mul(g.mul(grad, grad), scalars.squareShare))
  const step = g.mul(g.div(newM, g.add(g.sqrt(newV), scalars.epsilon)), scalars.stepSize)
  return { parameter: g.sub(decaying ? g.mul(parameter, scalars.keep) : parameter, step), m: newM, v: newV }
}
