/**
 * One gradient rule per operator, as a table that has to be complete: an operator without a rule does not compile.
 *
 * A rule sees the node and the gradients of its outputs, and answers for each input what this use adds to the input's
 * gradient. The answers are functions, called only for inputs whose gradient is wanted. An answer may have any shape that
 * the input was broadcast to: the walk (grad.ts) sums it down. An input without an answer is not differentiable.
 */
import type { GraphBuilder, Node, OpName, Value } from '../graph/index.ts'

/** A value to add; or, for scattered rows and elements, how to add them onto the sum of the other contributions. */
export type Contribution = Value | ((onto: Value) => Value)

export interface Use {
  readonly inputs: readonly (Value | null)[]
  readonly outputs: readonly Value[]
  readonly attributes: Node['attributes']
  /** Gradients of the outputs; undefined where an output does not matter. At least one is there. */
  readonly grads: readonly (Value | undefined)[]
}

type Rule = (g: GraphBuilder, use: Use) => readonly ((() => Contribution) | undefined)[]

/** Where the operator has one output, `dy` is its gradient: y = op(a, b, c). */
type Operands = { a: Value; b: Value; c: Value; y: Value; dy: Value; attributes: Node['attributes'] }

const single =
  (rule: (g: GraphBuilder, operands: Operands) => ReturnType<Rule>): Rule =>
  (g, { inputs, outputs, grads, attributes }) => {
    const [a, b, c] = inputs as Value[]
    return rule(g, { a: a!, b: b!, c: c!, y: outputs[0]!, dy: grads[0]!, attributes })
  }

const notDifferentiable: Rule = () => []
/** Of an operator whose result counts as a constant. */
export const constant: Rule = () => []
const reshaped = single((g, { a, dy }) => [() => g.reshape(dy, a.shape)])

export const rules: Readonly<Record<OpName, Rule>> = {
  Add: single((_, { dy }) => [() => dy, () => dy]),
  Sub: single((g, { dy }) => [() => dy, () => g.neg(dy)]),
  Mul: single((g, { a, b, dy }) => [() => g.mul(dy, b), () => g.mul(dy, a)]),
  Div: single((g, { b, y, dy }) => [() => g.div(dy, b), () => g.neg(g.div(g.mul(dy, y), b))]),
  Exp: single((g, { y, dy }) => [() => g.mul(dy, y)]),
  Log: single((g, { a, dy }) => [() => g.div(dy, a)]),
  Neg: single((g, { dy }) => [() => g.neg(dy)]),
  Sqrt: single((g, { y, dy }) => [() => g.div(g.mul(dy, g.scalar(0.5)), y)]),
  Sigmoid: single((g, { y, dy }) => [() => g.mul(dy, g.sub(y, g.mul(y, y)))]),
  Tanh: single((g, { y, dy }) => [() => g.sub(dy, g.mul(dy, g.mul(y, y)))]),
  Min: notDifferentiable,

  // y_i (dy_i - sum_j y_j dy_j)
  Softmax: single((g, { y, dy }) => [() => g.mul(y, g.sub(dy, g.reduceSum(g.mul(y, dy), [y.shape.length - 1])))]),

  ReduceSum: single((g, { a, dy }) => [() => g.expand(dy, a.shape)]),
  ReduceSumSquare: single((g, { a, dy }) => [() => g.mul(a, g.mul(dy, g.scalar(2)))]),

  // Of a matrix that was transposed for this, the gradient is computed as the matrix lies: the transposes cancel out.
  MatMul: single((g, { a, b, dy }) => [
    () => g.matMul(dy, matrixTransposed(g, b)),
    () =>
      g.nodes.some(({ op, outputs }) => op === 'Transpose' && outputs[0] === b)
        ? matrixTransposed(g, g.matMul(matrixTransposed(g, dy), a))
        : g.matMul(matrixTransposed(g, a), dy),
  ]),

  // Y = A' B' + C, where ' transposes or not: dA' = dY B'^T, dB' = A'^T dY.
  Gemm: single((g, { a, b, dy, attributes }) => {
    const [transA, transB] = [attributes.transA === 1, attributes.transB === 1]
    return [
      () => (transA ? g.gemm(b, dy, { transA: transB, transB: true }) : g.gemm(dy, b, { transB: !transB })),
      () => (transB ? g.gemm(dy, a, { transA: true, transB: transA }) : g.gemm(a, dy, { transA: !transA })),
      () => dy,
    ]
  }),

  // y = n scale with n = x r, r = (mean(x^2) + epsilon)^-1/2 over the last axis of C, x of rank 2 or more:
  // dx = r (dy scale - n mean(dy n scale)), dscale = dy n.
  RMSNormalization: single((g, { a: x, b: scale, dy, attributes }) => {
    const last = x.shape.length - 1
    const C = scale.shape[0] as number
    const meanSquare = g.mul(g.reduceSumSquare(x, [last]), g.scalar(1 / C))
    const r = g.div(g.scalar(1), g.sqrt(g.add(meanSquare, g.scalar((attributes.epsilon as { float: number }).float))))
    const n = g.mul(x, r)
    const dyn = g.mul(dy, n)
    const dx = () => {
      const mean = g.mul(g.matMul(dyn, g.reshape(scale, [C, 1])), g.scalar(1 / C)) // [..., 1]
      return g.mul(r, g.sub(g.mul(dy, scale), g.mul(n, mean)))
    }
    return [dx, () => dyn]
  }),

  // A rotation: its transpose turns the other way. The angles are data.
  RotaryEmbedding: single((g, { b: cos, c: sin, dy, attributes }) => [
    () => g.rotaryEmbedding(dy, cos, g.neg(sin), attributes.num_heads as number),
  ]),

  Gather: single((g, { b: indices, dy }) => [() => (onto) => g.scatterAddRows(onto, indices, dy)]),
  GatherElements: single((g, { b: indices, dy, attributes }) => [
    () => (onto) => g.scatterAddElements(onto, indices, dy, attributes.axis as number),
  ]),
  ScatterElements: single((g, { b: indices, dy, attributes }) => [
    () => dy,
    undefined,
    () => g.gatherElements(dy, indices, attributes.axis as number),
  ]),

  Concat: (g, { inputs, grads, attributes }) => {
    const axis = attributes.axis as number
    const sizes = inputs.map((input) => input!.shape.at(axis)!)
    const parts = g.split(grads[0]!, sizes, axis)
    return parts.map((part) => () => part)
  },
  Split: (g, { outputs, grads, attributes }) => {
    const parts = grads.map((grad, i) => grad ?? g.expand(g.scalar(0), outputs[i]!.shape))
    return [() => g.concat(parts, attributes.axis as number)]
  },

  Cast: single((g, { a, dy }) => [() => g.cast(dy, a.dtype)]),
  Expand: single((_, { dy }) => [() => dy]),
  Reshape: reshaped,
  Unsqueeze: reshaped,
  Transpose: single((g, { dy, attributes }) => {
    const perm = attributes.perm as readonly number[]
    return [
      () =>
        g.transpose(
          dy,
          perm.map((_, axis) => perm.indexOf(axis)),
        ),
    ]
  }),

  // Only ever a shift against overflow, which cancels out.
  ReduceMax: constant,

  Shape: notDifferentiable,

  // For inference only: what is trained, or trained through, is in full precision.
  Abs: notDifferentiable,
  Round: notDifferentiable,
  GatherBlockQuantized: notDifferentiable,
  MatMulNBits: notDifferentiable,
}

/** The last two axes swapped. */
function matrixTransposed(g: GraphBuilder, x: Value): Value {
  const axes = x.shape.map((_, axis) => axis)
  return g.transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2])
}
