/** Views: where the elements of a value lie. Reshaping, transposing, slicing and repeating move no data, as far as strides can say them. */
import type { DType } from '@parscale/core/internal/graph'

/** A block of memory of its own, elements of one type. */
export interface Storage {
  readonly dtype: DType
  readonly elements: number
  /** A feed, a result or a constant, which have memory already; undefined: a place in the arena. */
  readonly given?: Given
}

export type Given =
  | { readonly kind: 'input' | 'output'; readonly index: number }
  | { readonly kind: 'constant'; readonly index: number }

export interface View {
  readonly storage: Storage
  /** All in elements; a stride of 0 repeats. */
  readonly offset: number
  readonly dims: readonly number[]
  readonly strides: readonly number[]
}

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1)

/** Strides of elements in row-major order. */
export function rowMajor(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length)
  for (let axis = dims.length - 1, stride = 1; axis >= 0; axis--) {
    strides[axis] = stride
    stride *= dims[axis]!
  }
  return strides
}

export const whole = (storage: Storage, dims: readonly number[]): View => ({ storage, offset: 0, dims, strides: rowMajor(dims) })

/** Axes as few as say the same: those of size 1 are left out, neighbours that lie behind each other are one. */
export function collapsed(
  dims: readonly number[],
  ...strides: readonly (readonly number[])[]
): { dims: number[]; strides: number[][] } {
  const out = { dims: [] as number[], strides: strides.map(() => [] as number[]) }
  for (const [axis, dim] of dims.entries()) {
    if (dim === 1) continue
    const last = out.dims.length - 1
    if (last >= 0 && strides.every((of, i) => out.strides[i]![last] === of[axis]! * dim)) {
      out.dims[last]! *= dim
      for (const [i, of] of strides.entries()) out.strides[i]![last] = of[axis]!
    } else {
      out.dims.push(dim)
      for (const [i, of] of strides.entries()) out.strides[i]!.push(of[axis]!)
    }
  }
  return out
}

export function isContiguous({ dims, strides }: View): boolean {
  const one = collapsed(dims, strides)
  return one.dims.length === 0 || (one.dims.length === 1 && one.strides[0]![0] === 1)
}

export const transposed = (view: View, perm: readonly number[]): View => ({
  ...view,
  dims: perm.map((axis) => view.dims[axis]!),
  strides: perm.map((axis) => view.strides[axis]!),
})

/** As numpy broadcasts. */
export function expanded(view: View, dims: readonly number[]): View {
  const added = dims.length - view.dims.length
  const strides = dims.map((dim, axis) =>
    axis < added || (view.dims[axis - added] === 1 && dim !== 1) ? 0 : view.strides[axis - added]!,
  )
  return { ...view, dims, strides }
}

export function sliced(view: View, axis: number, from: number, size: number): View {
  const dims = view.dims.map((dim, i) => (i === axis ? size : dim))
  return { ...view, dims, offset: view.offset + from * view.strides[axis]! }
}

/** The same elements in other dimensions; undefined where strides cannot say it, and the elements have to be copied first. */
export function reshaped(view: View, dims: readonly number[]): View | undefined {
  const old = collapsed(view.dims, view.strides)
  const [oldDims, oldStrides] = [old.dims, old.strides[0]!]
  const strides = new Array<number>(dims.length).fill(1)
  // From the back: each old axis is filled by new ones, none may reach over two.
  let axis = oldDims.length - 1
  let left = axis >= 0 ? oldDims[axis]! : 1
  let stride = axis >= 0 ? oldStrides[axis]! : 1
  for (let i = dims.length - 1; i >= 0; i--) {
    const dim = dims[i]!
    if (dim === 1) continue
    if (left === 1) {
      axis--
      left = oldDims[axis]!
      stride = oldStrides[axis]!
    }
    if (left % dim !== 0) return undefined
    strides[i] = stride
    stride *= dim
    left /= dim
  }
  return { ...view, dims, strides }
}
