/** What the walk emits and refuses. That the numbers are right is shown on an engine: gradients.test.ts. */
import { describe, expect, it } from 'vitest'
import { GraphBuilder, type Value } from '../graph/index.ts'
import { gradients } from './grad.ts'

const scalarOf = (g: GraphBuilder, x: Value) => g.reshape(g.reduceSum(x, [...x.shape.keys()]), [])

/** The operators that the walk adds, sorted. */
function emitted(g: GraphBuilder, walk: () => unknown): string[] {
  const before = g.nodes.length
  walk()
  return g.nodes
    .slice(before)
    .map((node) => node.op)
    .sort()
}

describe('gradients', () => {
  it('emits the products of the wanted side only', () => {
    const g = new GraphBuilder('test')
    const [x, w] = [g.input('x', 'float32', [2, 3]), g.input('w', 'float32', [4, 3])]
    const loss = scalarOf(g, g.linear(x, w))
    expect(emitted(g, () => gradients(g, loss, [w])).filter((op) => op === 'Gemm')).toHaveLength(1)
    expect(emitted(g, () => gradients(g, loss, [x, w])).filter((op) => op === 'Gemm')).toHaveLength(2)
  })

  it('does not walk into what the asked-for values cannot reach', () => {
    const g = new GraphBuilder('test')
    const [x, y] = [g.input('x', 'float32', [2]), g.input('y', 'float32', [2])]
    const loss = scalarOf(g, g.add(g.sqrt(g.sigmoid(x)), y))
    const ops = emitted(g, () => gradients(g, loss, [y]))
    expect(ops).not.toContain('Div')
    expect(ops).not.toContain('Sub')
  })

  it('adds up all uses of a value, and scatters onto what the others gave', () => {
    const g = new GraphBuilder('test')
    const table = g.input('table', 'float32', [5, 3])
    const rows = g.gather(table, g.input('ids', 'int64', [2]))
    const loss = scalarOf(g, g.linear(rows, table))
    const [grad] = gradients(g, loss, [table])
    const last = g.nodes.find((node) => node.outputs.includes(grad!))!
    expect(last.op).toBe('ScatterElements')
    expect(g.nodes.find((node) => node.outputs.includes(last.inputs[0]!))?.op).toBe('Gemm')
    expect(grad!.shape).toEqual(table.shape)
  })

  it('keeps symbolic dimensions', () => {
    const g = new GraphBuilder('test')
    const x = g.input('x', 'float32', ['rows', 'tokens', 4])
    const scale = g.input('scale', 'float32', [4])
    const loss = scalarOf(g, g.reshape(g.mul(g.reshape(x, ['rows*tokens', 4]), scale), ['rows', 'tokens', 4]))
    const grads = gradients(g, loss, [x, scale])
    expect(grads.map((grad) => grad.shape)).toEqual([['rows', 'tokens', 4], [4]])
  })

  it('differentiates by values inside the graph', () => {
    const g = new GraphBuilder('test')
    const x = g.input('x', 'float32', [3])
    const inner = g.sigmoid(x)
    const [grad] = gradients(g, scalarOf(g, g.mul(inner, inner)), [inner])
    expect(grad!.shape).toEqual([3])
  })

  it('names a value that the loss does not depend on', () => {
    const g = new GraphBuilder('test')
    const [x, y] = [g.input('x', 'float32', [2]), g.input('unused', 'float32', [2])]
    expect(() => gradients(g, scalarOf(g, x), [y])).toThrow('the loss does not depend on unused')
  })

  it('names an operator that has no gradient', () => {
    const g = new GraphBuilder('test')
    const [x, y] = [g.input('x', 'float32', [2]), g.input('y', 'float32', [2])]
    expect(() => gradients(g, scalarOf(g, g.min(x, y)), [x])).toThrow('Min: Min has no gradient for its input 0, x')
  })
})
