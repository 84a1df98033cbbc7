/**
 * The operators that our graphs use: a closed table from op to the rule that gives its outputs' types and shapes.
 * Names, attributes and meanings are those of the ONNX operator set (opset 23), but for ONNX Runtime's own operators, which
 * stand in `contributed`.
 */
import { broadcast, product, showShape, sum } from './shape.ts'
import type { Attribute, Dim, DType, Shape, Value } from './types.ts'

export type OpName =
  | 'Abs'
  | 'Add'
  | 'Cast'
  | 'Concat'
  | 'Div'
  | 'Exp'
  | 'Expand'
  | 'Gather'
  | 'GatherBlockQuantized'
  | 'GatherElements'
  | 'Gemm'
  | 'Log'
  | 'MatMul'
  | 'MatMulNBits'
  | 'Min'
  | 'Mul'
  | 'Neg'
  | 'RMSNormalization'
  | 'ReduceMax'
  | 'ReduceSum'
  | 'ReduceSumSquare'
  | 'Reshape'
  | 'RotaryEmbedding'
  | 'Round'
  | 'ScatterElements'
  | 'Shape'
  | 'Sigmoid'
  | 'Softmax'
  | 'Split'
  | 'Sqrt'
  | 'Sub'
  | 'Tanh'
  | 'Transpose'
  | 'Unsqueeze'

/** Operators of the domain com.microsoft: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md */
export const contributed: ReadonlySet<string> = new Set<OpName>(['GatherBlockQuantized', 'MatMulNBits'])

type Attributes = Readonly<Record<string, Attribute>>
export interface Inferred {
  readonly dtype: DType
  readonly shape: Shape
}
/** Throws a plain sentence when the inputs do not fit; the builder adds the node's name. */
type Infer = (inputs: readonly (Value | null)[], attributes: Attributes, declared: readonly Shape[]) => readonly Inferred[]

const same = (x: Value, shape: Shape = x.shape): Inferred[] => [{ dtype: x.dtype, shape }]
const int = (attributes: Attributes, name: string, otherwise: number): number =>
  (attributes[name] as number | undefined) ?? otherwise
const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

function expect(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message())
}

const elementwise: Infer = ([a, b]) => {
  const shape = broadcast(a!.shape, b!.shape)
  expect(shape !== undefined, () => `${showShape(a!.shape)} and ${showShape(b!.shape)} do not broadcast`)
  expect(a!.dtype === b!.dtype, () => `element types differ: ${a!.dtype} and ${b!.dtype}`)
  return same(a!, shape)
}
const unary: Infer = ([x]) => same(x!)
// The reduced axes stay, with size 1.
const reduction: Infer = ([x], _attributes, [declared]) => same(x!, declared)

export const ops: Readonly<Record<OpName, Infer>> = {
  Add: elementwise,
  Div: elementwise,
  Min: elementwise,
  Mul: elementwise,
  Sub: elementwise,
  Abs: unary,
  Exp: unary,
  Log: unary,
  Neg: unary,
  Round: unary,
  Sigmoid: unary,
  Softmax: unary,
  Sqrt: unary,
  Tanh: unary,
  ReduceMax: reduction,
  ReduceSum: reduction,
  ReduceSumSquare: reduction,
  Cast: ([x], _attributes, _declared) => same(x!),

  Concat: (inputs, attributes) => {
    const [first] = inputs as readonly Value[]
    const axis = axisOf(int(attributes, 'axis', 0), first!.shape.length)
    for (const x of inputs as readonly Value[]) {
      expect(
        x.shape.length === first!.shape.length && x.shape.every((dim, i) => i === axis || dim === first!.shape[i]),
        () => `${showShape(first!.shape)} and ${showShape(x.shape)} differ outside axis ${axis}`,
      )
    }
    return same(
      first!,
      first!.shape.map((dim, i) => (i === axis ? sum(inputs.map((x) => x!.shape[axis]!)) : dim)),
    )
  },

  Expand: ([x], _attributes, [declared]) => {
    expect(
      showShape(broadcast(x!.shape, declared!) ?? []) === showShape(declared!),
      () => `${showShape(x!.shape)} does not expand to ${showShape(declared!)}`,
    )
    return same(x!, declared)
  },

  Gather: ([data, indices]) => same(data!, [...indices!.shape, ...data!.shape.slice(1)]),

  // Rows of a quantised matrix, as float32: data uint8 [N, K * bits / 8], scales [N, K / block_size].
  GatherBlockQuantized: ([data, indices, scales], attributes) => {
    const [[rows, bytes], [scaleRows, blocks]] = [data!.shape, scales!.shape]
    const K = ((bytes as number) * 8) / int(attributes, 'bits', 4)
    expect(
      data!.dtype === 'uint8' && rows === scaleRows && K === (blocks as number) * int(attributes, 'block_size', 128),
      () => `rows ${data!.dtype} ${showShape(data!.shape)} with scales ${showShape(scales!.shape)}`,
    )
    return same(scales!, [...indices!.shape, K])
  },

  GatherElements: ([data, indices]) => {
    expect(
      data!.shape.length === indices!.shape.length,
      () => `indices ${showShape(indices!.shape)} into ${showShape(data!.shape)}`,
    )
    return same(data!, indices!.shape)
  },

  // Y = A B + C; transB = 1: B is stored [out, in], as linear layers are.
  Gemm: ([a, b, c], attributes) => {
    const [rows, inner] = int(attributes, 'transA', 0) === 1 ? a!.shape.toReversed() : a!.shape
    const [height, out] = int(attributes, 'transB', 0) === 1 ? b!.shape.toReversed() : b!.shape
    expect(
      a!.shape.length === 2 && b!.shape.length === 2 && inner === height,
      () => `${showShape(a!.shape)} does not multiply with ${showShape(b!.shape)}`,
    )
    const shape: Dim[] = [rows!, out!]
    expect(!c || broadcast(c.shape, shape) !== undefined, () => `bias ${showShape(c!.shape)} does not fit ${showShape(shape)}`)
    return same(a!, shape)
  },

  MatMul: ([a, b]) => {
    const [m, k] = a!.shape.slice(-2)
    const [inner, n] = b!.shape.slice(-2)
    const batch = broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
    expect(k === inner && batch !== undefined, () => `${showShape(a!.shape)} does not multiply with ${showShape(b!.shape)}`)
    return same(a!, [...batch, m!, n!])
  },

  // x [M, K] times a quantised matrix transposed, plus bias: inputs x, data, scales, zero points, g_idx (unused), bias.
  MatMulNBits: ([x, data, scales], attributes) => {
    const [K, N] = [int(attributes, 'K', 0), int(attributes, 'N', 0)]
    const [block, bits] = [int(attributes, 'block_size', 0), int(attributes, 'bits', 4)]
    expect(x!.shape.at(-1) === K, () => `${showShape(x!.shape)} does not multiply with [${N}, ${K}] transposed`)
    expect(
      showShape(data!.shape) === showShape([N, K / block, (block * bits) / 8]) &&
        showShape(scales!.shape) === showShape([N, K / block]),
      () => `data ${showShape(data!.shape)} and scales ${showShape(scales!.shape)} for [${N}, ${K}] in blocks of ${block}`,
    )
    return same(x!, [...x!.shape.slice(0, -1), N])
  },

  RMSNormalization: ([x, scale]) => {
    expect(
      scale!.shape.length === 1 && scale!.shape[0] === x!.shape.at(-1),
      () => `scale ${showShape(scale!.shape)} for ${showShape(x!.shape)}`,
    )
    return same(x!)
  },

  // X [B, T, heads * D] with cos and sin [B, T, D / 2]; pairs are (i, i + D / 2).
  RotaryEmbedding: ([x, cos, sin]) => {
    expect(
      x!.shape.length === 3 && cos!.shape.length === 3 && showShape(cos!.shape) === showShape(sin!.shape),
      () => `x ${showShape(x!.shape)}, cos ${showShape(cos!.shape)}, sin ${showShape(sin!.shape)}`,
    )
    return same(x!)
  },

  Reshape: ([x], _attributes, [declared]) => {
    expect(
      product(x!.shape) === product(declared!),
      () => `${showShape(x!.shape)} has ${product(x!.shape)} elements, ${showShape(declared!)} has ${product(declared!)}`,
    )
    return same(x!, declared)
  },

  // Adds each update onto the element that its index names along the axis.
  ScatterElements: ([data, indices, updates]) => {
    expect(
      showShape(indices!.shape) === showShape(updates!.shape),
      () => `indices ${showShape(indices!.shape)}, updates ${showShape(updates!.shape)}`,
    )
    return same(data!)
  },

  Shape: ([x], attributes) => [
    { dtype: 'int64', shape: [int(attributes, 'end', x!.shape.length) - int(attributes, 'start', 0)] },
  ],

  Split: ([x], attributes, declared) => {
    const axis = axisOf(int(attributes, 'axis', 0), x!.shape.length)
    expect(sum(declared.map((part) => part[axis]!)) === x!.shape[axis], () => `parts do not add up to ${x!.shape[axis]}`)
    return declared.map((shape) => ({ dtype: x!.dtype, shape }))
  },

  Transpose: ([x], attributes) => {
    const perm = attributes.perm as readonly number[]
    expect(perm.length === x!.shape.length, () => `perm ${perm} for ${showShape(x!.shape)}`)
    return same(
      x!,
      perm.map((axis) => x!.shape[axis]!),
    )
  },

  Unsqueeze: ([x], _attributes, [declared]) => same(x!, declared),
}
