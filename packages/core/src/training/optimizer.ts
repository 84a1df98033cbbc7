/**
 * AdamW with decoupled weight decay (I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101)
 * and clipping by the global norm, as graph operators.
 *
 * What changes from step to step comes in as scalars, computed in float64: 1 - beta^t has few digits left in float32.
 */
import { Tensor } from 'onnxruntime-common'
import type { GraphBuilder, Value } from '../graph/index.ts'

export interface AdamWOptions {
  readonly betas: readonly [number, number]
  readonly epsilon: number
  /** Per unit of learning rate, on matrices only: see `decays`. */
  readonly weightDecay: number
  /** The L2 norm over all gradients together that a step may have. Infinity: no clipping. */
  readonly maxGradNorm: number
  /** The aggregator's learning rate, as a share of everything else's. Default: 1. */
  readonly aggregatorRate?: number
}

/** Matrices (linear layers and embeddings) decay; biases, norms and prefixes do not. */
export const decays = (shape: readonly unknown[]): boolean => shape.length === 2

/** float32 of rank 0 each; see `adamWFeeds`. */
export interface AdamWScalars {
  readonly stepSize: Value
  readonly epsilon: Value
  readonly keep: Value
}

export function adamWScalars(g: GraphBuilder): AdamWScalars {
  const scalar = (name: string) => g.input(name, 'float32', [])
  return { stepSize: scalar('adamw.step_size'), epsilon: scalar('adamw.epsilon'), keep: scalar('adamw.keep') }
}

/** The same at `share` of the learning rate. */
export function atShareOfRate(g: GraphBuilder, { stepSize, epsilon, keep }: AdamWScalars, share: number): AdamWScalars {
  const scaled = (value: Value) => g.mul(value, g.scalar(share))
  return { stepSize: scaled(stepSize), epsilon, keep: g.add(scaled(keep), g.scalar(1 - share)) }
}

/**
 * The scalars of step t = 1, 2, ... Bias correction divides m by c1 = 1 - b1^t and v by c2 = 1 - b2^t. Multiplied out,
 *
 *   lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2)),
 *
 * so that no array needs to be corrected.
 */
export function adamWFeeds(options: AdamWOptions, learningRate: number, t: number): Record<string, Tensor> {
  const [c1, c2] = options.betas.map((beta) => 1 - beta ** t) as [number, number]
  const scalar = (value: number) => new Tensor('float32', Float32Array.of(value), [])
  return {
    'adamw.step_size': scalar((learningRate * Math.sqrt(c2)) / c1),
    'adamw.epsilon': scalar(options.epsilon * Math.sqrt(c2)),
    'adamw.keep': scalar(1 - learningRate * options.weightDecay),
  }
}

export interface Clipping {
  /** The squared norm of each gradient, [n]: infinite or NaN where the gradient is. */
  readonly squares: Value
  /** L2 norm over all of them, rank 0. */
  readonly norm: Value
  /** What every gradient is to be multiplied by, rank 0: min(1, maxGradNorm / (norm + 1e-6)). */
  readonly scale: Value
}

export function clipping(g: GraphBuilder, grads: readonly Value[], maxGradNorm: number): Clipping {
  const square = (grad: Value) => g.reshape(g.reduceSumSquare(grad, [...grad.shape.keys()]), [1])
  const squares = g.concat(grads.map(square), 0)
  const norm = g.sqrt(g.reshape(g.reduceSum(squares, [0]), []))
  const scale = g.min(g.scalar(1), g.div(g.scalar(maxGradNorm), g.add(norm, g.scalar(1e-6))))
  return { squares, norm, scale }
}

export interface AdamWState {
  readonly parameter: Value
  /** Running means of the gradient and of its square. */
  readonly m: Value
  readonly v: Value
}

/** One parameter's step, from its gradient before clipping. */
export function adamW(
  g: GraphBuilder,
  options: AdamWOptions,
  scalars: AdamWScalars,
  { parameter, m, v }: AdamWState,
  grad: Value,
  scale: Value,
): AdamWState {
  const [b1, b2] = options.betas
  // The scale joins the scalar factors: the gradient itself is never scaled.
  const newM = g.add(g.mul(m, g.scalar(b1)), g.mul(grad, g.mul(scale, g.scalar(1 - b1))))
  const newV = g.add(g.mul(v, g.scalar(b2)), g.mul(g.mul(grad, grad), g.mul(g.mul(scale, scale), g.scalar(1 - b2))))
  const step = g.mul(g.div(newM, g.add(g.sqrt(newV), scalars.epsilon)), scalars.stepSize)
  const kept = decays(parameter.shape) ? g.mul(parameter, scalars.keep) : parameter
  return { parameter: g.sub(kept, step), m: newM, v: newV }
}
