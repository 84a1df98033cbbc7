/**
 * Every gradient rule against finite differences, over random shapes, broadcasts and values.
 *
 * The graphs are run in float64 where the engine has the kernels: then a central difference with h = 1e-5 is right to
 * about 1e-9 (truncation h^2, rounding 1e-16 / h), and a tolerance of 1e-6 leaves room for the float32 constants that rules
 * contain (1 / C: 3e-8) and for nothing else.
 */

import fc from 'fast-check'
import { Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { type Graph, GraphBuilder, type Initializer, type OpName, type Shape, type Value } from '../graph/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { createRandom } from '../random.ts'
import { gradients } from './index.ts'

type Data = Float64Array | Float32Array

/** What a case draws its operands from. */
class Operands {
  readonly #g: GraphBuilder
  readonly #random
  readonly inputs: { value: Value; data: number[] }[] = []

  constructor(g: GraphBuilder, seed: number) {
    this.#g = g
    this.#random = createRandom(seed)
  }

  size = (min = 1): number => min + this.#random.below(4)
  flip = (): boolean => this.#random.below(2) === 1
  shape = (rank = 1 + this.#random.below(3)): number[] => Array.from({ length: rank }, () => this.size())
  /** A shape that broadcasts to the given one: axes of size 1, and missing leading ones. */
  narrower = (shape: readonly number[]): number[] =>
    shape.map((dim) => (this.flip() ? 1 : dim)).slice(this.#random.below(shape.length + 1))
  normal = (count: number): number[] => Array.from({ length: count }, () => this.#random.normal())
  /** An operand that the gradient is taken of. */
  input(shape: readonly number[], value: (x: number) => number = (x) => x): Value {
    const input = this.#g.input('x', 'float32', shape)
    this.inputs.push({ value: input, data: this.normal(elements(shape)).map(value) })
    return input
  }
  /** Random numbers that are no operands. */
  data = (shape: readonly number[]): Value => this.#g.constant(Float32Array.from(this.normal(elements(shape))), shape)
  indices = (shape: readonly number[], bound: number): Value =>
    this.#g.constant(
      BigInt64Array.from({ length: elements(shape) }, () => BigInt(this.#random.below(bound))),
      shape,
    )
}

const elements = (shape: Shape): number => shape.reduce<number>((n, dim) => n * (dim as number), 1)
/** Away from zero: for divisors and roots. */
const positive = (x: number) => 0.5 + Math.abs(x)

/** Two operands of which neither, either or both are broadcast. */
const pair = (o: Operands, value?: (x: number) => number): [Value, Value] => {
  const shape = o.shape()
  const [a, b] = o.flip() ? [shape, o.narrower(shape)] : [o.narrower(shape), shape]
  return [o.input(a), o.input(b, value)]
}

type Undifferentiable = 'Abs' | 'GatherBlockQuantized' | 'MatMulNBits' | 'Min' | 'ReduceMax' | 'Round' | 'Shape'
type Case = (g: GraphBuilder, o: Operands) => Value | readonly Value[]

/** One graph for every operator that has a rule. */
const cases: Readonly<Record<Exclude<OpName, Undifferentiable>, Case>> = {
  Add: (g, o) => g.add(...pair(o)),
  Sub: (g, o) => g.sub(...pair(o)),
  Mul: (g, o) => g.mul(...pair(o)),
  Div: (g, o) => g.div(...pair(o, positive)),
  Exp: (g, o) => g.exp(o.input(o.shape())),
  Log: (g, o) => g.log(o.input(o.shape(), positive)),
  Neg: (g, o) => g.neg(o.input(o.shape())),
  Sqrt: (g, o) => g.sqrt(o.input(o.shape(), positive)),
  Sigmoid: (g, o) => g.sigmoid(o.input(o.shape())),
  Tanh: (g, o) => g.tanh(o.input(o.shape())),
  Softmax: (g, o) => g.softmax(o.input(o.shape())),
  ReduceSum: (g, o) => g.reduceSum(o.input(o.shape(3)), o.flip() ? [0, 2] : [1]),
  ReduceSumSquare: (g, o) => g.reduceSumSquare(o.input(o.shape(3)), o.flip() ? [0, 1, 2] : [2]),
  MatMul: (g, o) => {
    const [m, k, n, batch] = [o.size(), o.size(), o.size(), o.shape()]
    const [a, b] = o.flip() ? [batch, o.narrower(batch)] : [o.narrower(batch), batch]
    return g.matMul(o.input([...a, m, k]), o.input([...b, k, n]))
  },
  Gemm: (g, o) => {
    const [m, k, n, transA, transB] = [o.size(), o.size(), o.size(), o.flip(), o.flip()]
    const bias = o.flip() ? o.input(o.narrower([m, n])) : undefined
    return g.gemm(o.input(transA ? [k, m] : [m, k]), o.input(transB ? [n, k] : [k, n]), { transA, transB, bias })
  },
  RMSNormalization: (g, o) => {
    const shape = o.shape(o.flip() ? 2 : 3)
    return g.rmsNorm(o.input(shape), o.input(shape.slice(-1)), 1e-3)
  },
  RotaryEmbedding: (g, o) => {
    const [rows, tokens, heads, half] = [o.size(), o.size(), o.size(), o.size()]
    const table = [rows, tokens, half]
    return g.rotaryEmbedding(o.input([rows, tokens, heads * 2 * half]), o.data(table), o.data(table), heads)
  },
  Gather: (g, o) => {
    const shape = o.shape()
    return g.gather(o.input(shape), o.indices(o.shape(), shape[0]!))
  },
  GatherElements: (g, o) => {
    const [rows, columns] = [o.size(), o.size()]
    return g.gatherElements(o.input([rows, columns]), o.indices([rows, o.size()], columns), 1)
  },
  ScatterElements: (g, o) => {
    const [rows, columns, updates] = [o.size(), o.size(), o.size()]
    return g.scatterAddElements(o.input([rows, columns]), o.indices([rows, updates], columns), o.input([rows, updates]), 1)
  },
  Concat: (g, o) => {
    const [rows, columns] = [o.size(), o.size()]
    return g.concat([o.input([rows, o.size(), columns]), o.input([rows, o.size(), columns]), o.input([rows, 1, columns])], 1)
  },
  Split: (g, o) => {
    const [first, second, rows] = [o.size(), o.size(), o.size()]
    const parts = g.split(o.input([rows, first + second]), [first, second], -1)
    return o.flip() ? parts : parts.slice(1)
  },
  Cast: (g, o) => g.cast(g.cast(o.input(o.shape()), 'float64'), 'float32'),
  Expand: (g, o) => {
    const shape = o.shape()
    return g.expand(o.input(o.narrower(shape)), shape)
  },
  Reshape: (g, o) => {
    const [a, b, c] = [o.size(), o.size(), o.size()]
    return g.reshape(o.input([a, b, c]), [b, a * c])
  },
  Unsqueeze: (g, o) => g.unsqueeze(o.input(o.shape(2)), o.size() % 3),
  Transpose: (g, o) => g.transpose(o.input(o.shape(3)), o.flip() ? [2, 0, 1] : [1, 0, 2]),
}

/** The engine's RotaryEmbedding takes no float64. It is linear, so a difference over a large step is exact but for rounding. */
const inFloat32: Partial<Record<OpName, { step: number; tolerance: number }>> = {
  RotaryEmbedding: { step: 1, tolerance: 1e-5 },
}

/** sum(y * w) of all outputs with random w, and its gradients. */
function differentiate(test: Case, seed: number) {
  const g = new GraphBuilder('gradient-test')
  const operands = new Operands(g, seed)
  const outputs = [test(g, operands)].flat()
  const loss = outputs
    .map((y) => g.mul(y, operands.data(y.shape as number[])))
    .map((y) => g.reshape(g.reduceSum(y, [...y.shape.keys()]), []))
    .reduce(g.add)
  const inputs = operands.inputs
  const grads = gradients(
    g,
    loss,
    inputs.map(({ value }) => value),
  )
  g.output(g.add(loss, g.scalar(0)), 'loss')
  // One operand's gradient may be another's, and an output has one name only.
  for (const [i, grad] of grads.entries()) g.output(g.add(grad, g.scalar(0)), `grad.${i}`)
  return { graph: g.build(), inputs, direction: inputs.map(({ data }) => operands.normal(data.length)) }
}

describe.each(Object.keys(cases) as (keyof typeof cases)[])('%s', (op) => {
  it('has the gradient that finite differences show', async () => {
    const { step, tolerance } = inFloat32[op] ?? { step: 1e-5, tolerance: 1e-6 }
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const { graph, inputs, direction } = differentiate(cases[op], seed)
        expect(graph.nodes.some((node) => node.op === op)).toBe(true)
        const session = await onnxRuntime({ threads: 1 }).createSession(op in inFloat32 ? graph : inFloat64(graph))
        const at = async (h: number) => {
          const feeds = inputs.map(({ value, data }, i) => {
            const moved = data.map((x, j) => x + h * direction[i]![j]!)
            const shape = value.shape as number[]
            return [
              value.name,
              op in inFloat32
                ? new Tensor('float32', Float32Array.from(moved), shape)
                : new Tensor('float64', Float64Array.from(moved), shape),
            ]
          })
          return session.run(Object.fromEntries(feeds))
        }
        const here = await at(0)
        const loss = async (h: number) => Number(((await at(h)).loss!.data as Data)[0])
        const numeric = ((await loss(step)) - (await loss(-step))) / (2 * step)
        const analytic = inputs
          .flatMap((_, i) => [...(here[`grad.${i}`]!.data as Data)].map((grad, j) => grad * direction[i]![j]!))
          .reduce((a, b) => a + b, 0)
        await session.dispose()
        for (const [i, { value }] of inputs.entries()) expect(here[`grad.${i}`]!.dims).toEqual(value.shape)
        expect(Math.abs(analytic - numeric)).toBeLessThan(tolerance * Math.max(1, Math.abs(analytic), Math.abs(numeric)))
      }),
      { numRuns: 20, seed: 4 },
    )
  })
})

it('adds every one of the rows that repeat, on several threads', async () => {
  // Large enough that the engine shares the work out; sums of ones are exact.
  const [rows, width, distinct] = [4096, 64, 50]
  const g = new GraphBuilder('repeats')
  const table = g.input('table', 'float32', [distinct, width])
  const picked = g.gather(table, g.input('ids', 'int64', [rows]))
  const [grad] = gradients(g, g.reshape(g.reduceSum(picked, [0, 1]), []), [table])
  g.output(grad!, 'grad')
  const session = await onnxRuntime({ threads: 4 }).createSession(g.build())
  const ids = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * i) % distinct))
  const counts = Array.from({ length: distinct }, (_, id) => ids.filter((x) => x === BigInt(id)).length)
  const feeds = {
    ids: new Tensor('int64', ids, [rows]),
    table: new Tensor('float32', new Float32Array(distinct * width), [distinct, width]),
  }
  for (let run = 0; run < 8; run++) {
    const { data } = (await session.run(feeds)).grad!
    expect([...(data as Float32Array)]).toEqual(counts.flatMap((count) => new Array<number>(width).fill(count)))
  }
  await session.dispose()
})

/** The same graph with every float32 widened. */
function inFloat64(graph: Graph<OpName>): Graph<OpName> {
  const wide = <V extends Value | null>(value: V): V => (value?.dtype === 'float32' ? { ...value, dtype: 'float64' } : value)
  const widen = ({ value, data }: Initializer): Initializer =>
    value.dtype === 'float32' && data instanceof Uint8Array
      ? { value: wide(value), data: new Uint8Array(Float64Array.from(new Float32Array(data.slice().buffer)).buffer) }
      : { value, data }
  return {
    ...graph,
    inputs: graph.inputs.map(wide),
    outputs: graph.outputs.map(wide),
    initializers: graph.initializers.map(widen),
    nodes: graph.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(wide),
      outputs: node.outputs.map(wide),
      attributes: node.op === 'Cast' ? { to: 11 } : node.attributes,
    })),
  }
}
