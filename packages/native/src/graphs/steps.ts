/** What a lowered graph is made of. */
import type { RowKernel } from './row-kernel.ts'
import type { View } from './view.ts'

/** C = alpha A B + bias over a batch; every matrix by its strides. */
export interface MatrixProduct {
  readonly kind: 'product'
  readonly a: View
  readonly b: View
  /** Broadcast to C. */
  readonly bias: View | undefined
  /** [..batch, M, N], whole. */
  readonly c: View
  readonly alpha: number
}

/** Copies elements from one view to another of the same dimensions. */
export interface CopyStep {
  readonly kind: 'copy'
  readonly from: View
  readonly to: View
}

/** out[i] = data[indices[i]], rows of `columns`. */
export interface GatherRows {
  readonly kind: 'gatherRows'
  readonly data: View
  readonly indices: View
  readonly out: View
  readonly columns: number
}

/** onto[indices[i]] += updates[i], in the order of i. */
export interface ScatterAddRows {
  readonly kind: 'scatterAddRows'
  readonly onto: View
  readonly indices: View
  readonly updates: View
  readonly columns: number
}

/** out[i, j] = data[i, indices[i, j]]. */
export interface GatherElements {
  readonly kind: 'gatherElements'
  readonly data: View
  readonly indices: View
  readonly out: View
}

/** onto[i, indices[i, j]] += updates[i, j]. */
export interface ScatterAddElements {
  readonly kind: 'scatterAddElements'
  readonly onto: View
  readonly indices: View
  readonly updates: View
}

/** Pairs (i, i + D / 2) of each head turned: x, out [B, T, heads * D], cos and sin [B, T, D / 2]. */
export interface Rotation {
  readonly kind: 'rotation'
  readonly x: View
  readonly cos: View
  readonly sin: View
  readonly out: View
  readonly heads: number
}

/** out = sum over the axes where `out` has a stride of 0. */
export interface ReduceStep {
  readonly kind: 'reduce'
  readonly from: View
  readonly out: View
}

/** The sum of all squares, in pieces of a fixed size. */
export interface SumSquares {
  readonly kind: 'sumSquares'
  readonly from: View
  readonly out: View
}

export type Step =
  | MatrixProduct
  | CopyStep
  | GatherRows
  | ScatterAddRows
  | GatherElements
  | ScatterAddElements
  | Rotation
  | ReduceStep
  | SumSquares
  | RowKernel
