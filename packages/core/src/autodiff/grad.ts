/**
 * Reverse-mode differentiation: the walk. It goes backwards over the nodes that a builder holds and appends to the same
 * builder what computes the gradients, one rule per operator (rules.ts). Only what the asked-for gradients need is emitted.
 */
import type { Dim, GraphBuilder, Shape, Value } from '../graph/index.ts'
import { type Contribution, constant, rules } from './rules.ts'

/**
 * The gradient of `loss` (float, rank 0) with respect to each of `wrt`, in their order, type and shape.
 *
 * @throws an error naming the value that the loss does not depend on, or the node that has no gradient
 */
export function gradients(g: GraphBuilder, loss: Value, wrt: readonly Value[]): Value[] {
  const forward = [...g.nodes]
  const involved = dependents(g, wrt)
  // What each use of a value adds to its gradient. All uses of a value come after the node that computes it.
  const contributions = new Map<Value, Contribution[]>([[loss, [g.expand(g.scalar(1), loss.shape)]]])
  const totals = new Map<Value, Value | undefined>()
  const total = (x: Value): Value | undefined => {
    if (!totals.has(x)) totals.set(x, accumulate(g, x, contributions.get(x) ?? []))
    return totals.get(x)
  }

  for (const node of forward.toReversed()) {
    g.scope(`gradient.${node.name}`, () => {
      const grads = node.outputs.map((output) => (involved.has(output) ? total(output) : undefined))
      if (grads.every((grad) => grad === undefined)) return
      const rule = rules[node.op](g, { ...node, grads })
      for (const [i, input] of node.inputs.entries()) {
        if (!input || !involved.has(input)) continue
        const contribute = rule[i]
        if (!contribute) throw new Error(`${node.name}: ${node.op} has no gradient for its input ${i}, ${input.name}`)
        contributions.set(input, [...(contributions.get(input) ?? []), contribute()])
      }
    })
  }
  return wrt.map((x) => {
    const grad = g.scope(`gradient.${x.name}`, () => total(x))
    if (!grad) throw new Error(`the loss does not depend on ${x.name}`)
    return grad
  })
}

/** Everything that a change of `sources` would change. Integers and constants carry no gradient. */
function dependents(g: GraphBuilder, sources: readonly Value[]): Set<Value> {
  const involved = new Set(sources)
  for (const { op, inputs, outputs } of g.nodes) {
    if (rules[op] === constant || !inputs.some((input) => input && involved.has(input))) continue
    for (const output of outputs) if (output.dtype.includes('float')) involved.add(output)
  }
  return involved
}

/** The sum of all contributions to x; undefined where there is none. */
function accumulate(g: GraphBuilder, x: Value, contributions: readonly Contribution[]): Value | undefined {
  if (contributions.length === 0) return undefined
  const dense = contributions.filter((c) => typeof c !== 'function').map((c) => sumTo(g, c, x.shape))
  const sparse = contributions.filter((c) => typeof c === 'function')
  const sum = dense.length > 0 ? dense.reduce(g.add) : zeros(g, x.shape)
  return sparse.reduce((onto, add) => add(onto), sum)
}

/** Undoes broadcasting, for all rules: sums over the axes along which a value of this shape was repeated. */
function sumTo(g: GraphBuilder, grad: Value, shape: Shape): Value {
  const added = grad.shape.length - shape.length
  const repeated = (dim: Dim, axis: number) => axis < added || (shape[axis - added] === 1 && dim !== 1)
  const axes = grad.shape.flatMap((dim, axis) => (repeated(dim, axis) ? [axis] : []))
  if (axes.length === 0) return grad
  const sum = g.reduceSum(grad, axes)
  return added > 0 ? g.reshape(sum, shape) : sum
}

const zeros = (g: GraphBuilder, shape: Shape): Value => g.expand(g.scalar(0), shape)
