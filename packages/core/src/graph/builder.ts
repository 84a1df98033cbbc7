/**
 * Builds graphs node by node, with types and shapes checked as they grow.
 * One method per operator; what an operator means and how shapes follow is in ops.ts.
 */
import { type OpName, ops } from './ops.ts'
import { product, showShape } from './shape.ts'
import type { Attribute, Dim, DType, ExternalData, Graph, Initializer, Node, QuantisedMatrix, Shape, Value } from './types.ts'

/** Builds a graph node by node; types and shapes are checked as it grows. */
export class GraphBuilder {
  readonly #name: string
  readonly #inputs: Value[] = []
  readonly #outputs = new Map<Value, Value>()
  readonly #initializers: Initializer[] = []
  readonly #nodes: Node<OpName>[] = []
  readonly #names = new Map<string, number>()
  readonly #constants = new Map<string, Value>()
  #scope = ''

  constructor(name: string) {
    this.#name = name
  }

  input(name: string, dtype: DType, shape: Shape): Value {
    const value = { name: this.#unique(name), dtype, shape }
    this.#inputs.push(value)
    return value
  }

  /** Makes a computed value an output under the given name. It is renamed where it is computed, so naming costs no copy. */
  output(value: Value, name: string): void {
    if (!this.#nodes.some((node) => node.outputs.includes(value))) {
      throw new Error(`${this.#name}: output ${name}: ${value.name} is not computed by this graph`)
    }
    if (this.#outputs.has(value)) throw new Error(`${this.#name}: output ${name}: ${value.name} is an output already`)
    this.#outputs.set(value, { ...value, name: this.#unique(name) })
  }

  /** A weight whose bytes stay in their file. */
  weight(name: string, dtype: DType, shape: readonly number[], data: ExternalData): Value {
    const value = { name: this.#unique(name), dtype, shape }
    this.#initializers.push({ value, data })
    return value
  }

  /** A small constant, stored in the graph. Equal constants are stored once. */
  constant(data: Float32Array | BigInt64Array, shape: readonly number[] = [data.length]): Value {
    const dtype = data instanceof Float32Array ? 'float32' : 'int64'
    const key = `${dtype}${showShape(shape)}${data.join()}`
    let value = this.#constants.get(key)
    if (!value) {
      value = { name: this.#unique('constant'), dtype, shape }
      this.#initializers.push({ value, data: new Uint8Array(data.slice().buffer) })
      this.#constants.set(key, value)
    }
    return value
  }

  /** A float32 constant of rank 0. */
  scalar = (value: number): Value => this.constant(Float32Array.of(value), [])

  /** What has been built so far, in topological order. */
  get nodes(): readonly Node<OpName>[] {
    return this.#nodes
  }

  /** Names the nodes made by `body` after where they stand. */
  scope<T>(name: string, body: () => T): T {
    const outer = this.#scope
    this.#scope = `${outer}${name}.`
    try {
      return body()
    } finally {
      this.#scope = outer
    }
  }

  add = (a: Value, b: Value): Value => this.#node('Add', [a, b])
  sub = (a: Value, b: Value): Value => this.#node('Sub', [a, b])
  mul = (a: Value, b: Value): Value => this.#node('Mul', [a, b])
  div = (a: Value, b: Value): Value => this.#node('Div', [a, b])
  min = (a: Value, b: Value): Value => this.#node('Min', [a, b])
  exp = (x: Value): Value => this.#node('Exp', [x])
  abs = (x: Value): Value => this.#node('Abs', [x])
  log = (x: Value): Value => this.#node('Log', [x])
  neg = (x: Value): Value => this.#node('Neg', [x])
  /** To the nearest whole number, halves to the even one. */
  round = (x: Value): Value => this.#node('Round', [x])
  sqrt = (x: Value): Value => this.#node('Sqrt', [x])
  sigmoid = (x: Value): Value => this.#node('Sigmoid', [x])
  tanh = (x: Value): Value => this.#node('Tanh', [x])
  softmax = (x: Value): Value => this.#node('Softmax', [x], { axis: -1 })
  matMul = (a: Value, b: Value): Value => this.#node('MatMul', [a, b])
  gather = (data: Value, indices: Value): Value => this.#node('Gather', [data, indices], { axis: 0 })
  /** data and indices of equal rank: out[i, j] = data[i, indices[i, j]] for axis 1. */
  gatherElements = (data: Value, indices: Value, axis: number): Value => this.#node('GatherElements', [data, indices], { axis })
  /** The reverse: data plus every update at the element that `gatherElements` would have read for it. */
  scatterAddElements = (data: Value, indices: Value, updates: Value, axis: number): Value =>
    this.#node('ScatterElements', [data, indices, updates], { axis, reduction: 'add' })
  /** One value alone is what it is. */
  concat = (values: readonly Value[], axis: number): Value =>
    values.length === 1 ? values[0]! : this.#node('Concat', values, { axis })
  transpose = (x: Value, perm: readonly number[]): Value => this.#node('Transpose', [x], { perm })
  /** x [..., C] over its last axis; statistics in float32. */
  rmsNorm = (x: Value, scale: Value, epsilon: number): Value =>
    this.#node('RMSNormalization', [x, scale], { axis: -1, epsilon: { float: epsilon } })
  /** x [B, T, heads * D], cos and sin [B, T, D / 2]. */
  rotaryEmbedding = (x: Value, cos: Value, sin: Value, numHeads: number): Value =>
    this.#node('RotaryEmbedding', [x, cos, sin], { num_heads: numHeads, interleaved: 0 })
  /** x [M, in] times weight [out, in] transposed, plus bias [out]: a linear layer as checkpoints store it. */
  linear = (x: Value, weight: Value, bias?: Value): Value => this.gemm(x, weight, { transB: true, bias })

  /** A B + bias, of matrices that are taken transposed where the options say so. */
  gemm(a: Value, b: Value, options: { transA?: boolean; transB?: boolean; bias?: Value | undefined } = {}): Value {
    const { transA = false, transB = false, bias } = options
    return this.#node('Gemm', bias ? [a, b, bias] : [a, b], { transA: Number(transA), transB: Number(transB) })
  }

  /**
   * `linear` with a quantised weight. Inference only: it has no gradient.
   *
   * @param accuracyLevel the arithmetic of the product: 1 float32, 4 int8 with x quantised by the same blocks
   */
  quantisedLinear(x: Value, weight: QuantisedMatrix, options: { bias?: Value | undefined; accuracyLevel: 1 | 4 }): Value {
    const { bits, blockSize, data, scales, zeroPoints } = weight
    const [N, blocks] = scales.shape as [number, number]
    const inputs = [x, data, scales, zeroPoints ?? null, null, options.bias ?? null]
    while (inputs.at(-1) === null) inputs.pop()
    const attributes = { K: blocks * blockSize, N, bits, block_size: blockSize, accuracy_level: options.accuracyLevel }
    return this.#node('MatMulNBits', inputs, attributes)
  }

  /** Rows of a quantised matrix as float32, with its data seen as [N, K * bits / 8]. Inference only. */
  quantisedGather(matrix: QuantisedMatrix, indices: Value): Value {
    const { bits, blockSize, data, scales, zeroPoints } = matrix
    const inputs = [data, indices, scales, ...(zeroPoints ? [zeroPoints] : [])]
    return this.#node('GatherBlockQuantized', inputs, { bits, block_size: blockSize, gather_axis: 0, quantize_axis: 1 })
  }

  reduceSum = (x: Value, axes: readonly number[]): Value => this.#reduce('ReduceSum', x, axes)
  reduceSumSquare = (x: Value, axes: readonly number[]): Value => this.#reduce('ReduceSumSquare', x, axes)
  reduceMax = (x: Value, axes: readonly number[]): Value => this.#reduce('ReduceMax', x, axes)

  cast(x: Value, dtype: DType): Value {
    if (x.dtype === dtype) return x
    const [out] = this.#emit('Cast', [x], { to: onnxTypes[dtype] }, [], dtype)
    return out!
  }

  /** Repeats x to a shape that it broadcasts to. */
  expand = (x: Value, shape: Shape): Value => this.#node('Expand', [x, this.#dims(shape)], {}, [shape])

  /**
   * The reverse of `gather`: data [N, ...] plus every update [..indices, ...] at the row that its index names. By elements:
   * ONNX Runtime's ScatterND loses updates where indices repeat and threads are several (its issues 18048 and 23396).
   */
  scatterAddRows(data: Value, indices: Value, updates: Value): Value {
    const [count, row] = [product(indices.shape), data.shape.slice(1)]
    const rows = this.reshape(indices, [count, ...row.map(() => 1)])
    return this.scatterAddElements(data, this.expand(rows, [count, ...row]), this.reshape(updates, [count, ...row]), 0)
  }

  /** Inserts an axis of size 1. */
  unsqueeze(x: Value, axis: number): Value {
    const shape = [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)]
    return this.#node('Unsqueeze', [x, this.constant(BigInt64Array.of(BigInt(axis)))], {}, [shape])
  }

  /** Splits along an axis into parts of the given sizes, which may be symbols. One part is x. */
  split(x: Value, sizes: readonly Dim[], axis: number): Value[] {
    if (sizes.length === 1) return [x]
    const at = axis < 0 ? axis + x.shape.length : axis
    const shapes = sizes.map((size) => x.shape.map((dim, i) => (i === at ? size : dim)))
    return this.#emit('Split', [x, this.#dims(sizes)], { axis }, shapes)
  }

  /** Same elements, other shape. Symbolic dimensions are resolved at run time from the graph's inputs. */
  reshape(x: Value, shape: Shape): Value {
    // 0 copies the input's dimension at the same place, -1 is whatever remains.
    const target: Dim[] = shape.map((dim, i) => (typeof dim === 'string' && dim === x.shape[i] ? 0 : dim))
    const last = target.findLastIndex((dim) => typeof dim === 'string')
    if (last >= 0) target[last] = -1
    return this.#node('Reshape', [x, this.#dims(target)], {}, [shape])
  }

  build(): Graph<OpName> {
    const renamed = <V extends Value | null>(value: V): V => ((value && this.#outputs.get(value)) ?? value) as V
    return {
      name: this.#name,
      inputs: [...this.#inputs],
      outputs: [...this.#outputs.values()],
      initializers: [...this.#initializers],
      nodes: this.#nodes.map((node) => ({ ...node, inputs: node.inputs.map(renamed), outputs: node.outputs.map(renamed) })),
    }
  }

  /** An int64 vector of dimensions; symbols are read off the shape of an input that has them. */
  #dims(dims: readonly Dim[]): Value {
    const key = `dims:${dims}`
    const known = this.#constants.get(key)
    if (known) return known
    const vector = (values: readonly Dim[]) => this.constant(BigInt64Array.from(values.map((v) => BigInt(v))))
    const value = dims.every((dim) => typeof dim === 'number')
      ? vector(dims)
      : this.concat(
          dims.map((dim) => (typeof dim === 'number' ? vector([dim]) : this.#symbol(dim))),
          0,
        )
    this.#constants.set(key, value)
    return value
  }

  #symbol(symbol: string): Value {
    const key = `symbol:${symbol}`
    const known = this.#constants.get(key)
    if (known) return known
    const source = this.#inputs.find((input) => input.shape.includes(symbol))
    if (!source) throw new Error(`${this.#name}: no input has the dimension ${symbol}`)
    const start = source.shape.indexOf(symbol)
    const value = this.#node('Shape', [source], { start, end: start + 1 })
    this.#constants.set(key, value)
    return value
  }

  /** The axes stay, with size 1: what comes out broadcasts against x. Axes count from 0. */
  #reduce(op: OpName, x: Value, axes: readonly number[]): Value {
    const shape = x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim))
    return this.#node(op, [x, this.#dims(axes)], { keepdims: 1 }, [shape])
  }

  #node(
    op: OpName,
    inputs: readonly (Value | null)[],
    attributes: Record<string, Attribute> = {},
    declared: Shape[] = [],
  ): Value {
    return this.#emit(op, inputs, attributes, declared)[0]!
  }

  #emit(
    op: OpName,
    inputs: readonly (Value | null)[],
    attributes: Record<string, Attribute>,
    declared: Shape[],
    dtype?: DType,
  ): Value[] {
    const name = this.#unique(`${this.#scope}${op}`)
    let inferred: ReturnType<(typeof ops)[OpName]>
    try {
      inferred = ops[op](inputs, attributes, declared)
    } catch (error) {
      throw new Error(`${this.#name}: ${name}: ${(error as Error).message}`)
    }
    const outputs = inferred.map((out, i) => ({
      name: i === 0 ? `${name}:out` : `${name}:out${i}`,
      dtype: dtype ?? out.dtype,
      shape: out.shape,
    }))
    this.#nodes.push({ name, op, inputs, outputs, attributes })
    return outputs
  }

  #unique(name: string): string {
    const count = this.#names.get(name) ?? 0
    this.#names.set(name, count + 1)
    return count === 0 ? name : `${name}_${count}`
  }
}

/** TensorProto.DataType of the ONNX format. */
export const onnxTypes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
}
