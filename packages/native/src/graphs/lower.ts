/**
 * From a graph to steps over memory: products of matrices, row kernels, and a few that move rows. Views cost nothing, neighbouring
 * elementwise operators become one row kernel.
 *
 * All shapes have to be numbers: training graphs are.
 */
import type { Graph, Node, OpName, Value } from '@parscale/core/internal/graph'
import { type Located, NotLowered, numbers, type Place, Places } from './places.ts'
import type { Operation } from './row-kernel.ts'
import type { MatrixProduct, ReduceStep, Rotation, Step, SumSquares } from './steps.ts'
import { Tables, viewsOf } from './tables.ts'
import { expanded, isContiguous, type Storage, sizeOf, sliced, transposed, type View, whole } from './view.ts'

export interface Lowered {
  readonly steps: readonly Step[]
  /** Memory of the graph's outputs, in their order. */
  readonly outputs: readonly Storage[]
}

/** @throws an error naming the node that has no numbers for its shape, or whose operator is not known here */
export function lower(
  graph: Graph<OpName>,
  constants: ReadonlyMap<string, Storage>,
  values: ReadonlyMap<string, number>,
): Lowered {
  return new Lowering(graph, constants, values).run()
}

class Lowering {
  readonly #graph: Graph<OpName>
  /** Single numbers that are known now, by name. */
  readonly #values: ReadonlyMap<string, number>
  readonly #places = new Places()
  readonly #tables: Tables
  readonly #producers = new Map<string, Node<OpName>>()
  /** How often a value is read; outputs of the graph count as read. */
  readonly #uses = new Map<string, number>()

  constructor(graph: Graph<OpName>, constants: ReadonlyMap<string, Storage>, values: ReadonlyMap<string, number>) {
    this.#graph = graph
    this.#values = values
    this.#tables = new Tables(this.#places, values)
    for (const [index, input] of graph.inputs.entries()) {
      const dims = numbers(input)
      const storage: Storage = { dtype: input.dtype, elements: sizeOf(dims), given: { kind: 'input', index } }
      this.#places.set(input, { view: whole(storage, dims), ready: -1 })
    }
    for (const { value } of graph.initializers) {
      const storage = constants.get(value.name)
      if (storage?.elements) this.#places.set(value, { view: whole(storage, numbers(value)), ready: -1 })
    }
    const read = (value: Value | null) => value && this.#uses.set(value.name, (this.#uses.get(value.name) ?? 0) + 1)
    for (const node of graph.nodes) {
      for (const output of node.outputs) this.#producers.set(output.name, node)
      for (const input of node.inputs) read(input)
    }
    for (const output of graph.outputs) read(output)
  }

  run(): Lowered {
    for (const node of this.#graph.nodes) {
      try {
        const places = [this.#lowerNode(node)].flat()
        for (const [i, place] of places.entries()) this.#places.set(node.outputs[i]!, place)
      } catch (error) {
        if (!(error instanceof NotLowered)) throw error
        throw new NotLowered(`${this.#graph.name}: ${node.name}: ${error.message}`)
      }
    }
    const outputs = this.#graph.outputs.map((value, index) => this.#asOutput(value, index))
    return { steps: this.#places.steps, outputs }
  }

  /** Of the node's outputs; one of them all may stand alone. */
  #lowerNode(node: Node<OpName>): Place | readonly Place[] {
    const [a, b, c] = node.inputs as (Value | undefined)[]
    const out = node.outputs[0]!
    // Integers are only moved about, or say where something lies.
    if (!movesOnly.has(node.op) && [out, a, ...(locates.has(node.op) ? [] : [b, c])].some((value) => value && !isFloat(value)))
      throw new NotLowered(`${node.op} of integers is not known here`)
    const dims = numbers(out)
    switch (node.op) {
      case 'Reshape':
      case 'Unsqueeze':
        return this.#places.reshape(this.#places.place(a!), dims)
      case 'Expand':
        return this.#places.expand(this.#places.place(a!), dims)
      case 'Transpose': {
        const { view, ready } = this.#places.locate(this.#places.place(a!))
        return { view: transposed(view, node.attributes.perm as number[]), ready }
      }
      case 'Split': {
        const { view, ready } = this.#places.locate(this.#places.place(a!))
        const axis = axisOf(node, dims.length)
        let from = 0
        return node.outputs.map((part): Located => {
          const size = numbers(part)[axis]!
          from += size
          return { view: sliced(view, axis, from - size, size), ready }
        })
      }
      case 'Concat': {
        const to = whole(this.#places.arena(out), dims)
        const axis = axisOf(node, dims.length)
        let from = 0
        for (const input of node.inputs as Value[]) {
          const size = numbers(input)[axis]!
          this.#places.push({
            kind: 'copy',
            from: this.#places.locate(this.#places.place(input)).view,
            to: sliced(to, axis, from, size),
          })
          from += size
        }
        return { view: to, ready: this.#places.steps.length - 1 }
      }
      case 'Cast':
        // Floats of 16 bits are widened when they are read.
        if (isFloat(a!) && isFloat(out)) return this.#places.place(a!)
        throw new NotLowered(`a cast from ${a!.dtype} to ${out.dtype} is not known here`)

      case 'Add':
      case 'Sub':
      case 'Mul':
      case 'Div':
      case 'Min':
        return this.#tables.rows(dims, [a!, b!], (kernel, [x, y]) => kernel.compute(node.op.toLowerCase() as Operation, x!, y!))
      case 'Neg':
      case 'Exp':
      case 'Log':
      case 'Sqrt':
      case 'Sigmoid':
      case 'Tanh':
      case 'Abs':
        return this.#tables.unary(node.op.toLowerCase() as Operation, a!, out, dims)
      case 'Softmax':
        return this.#tables.rows(
          dims,
          [a!],
          (kernel, [x]) => {
            const e = kernel.compute('exp', kernel.compute('sub', x!, kernel.compute('rowMax', x!)))
            return kernel.compute('mul', e, kernel.compute('reciprocal', kernel.compute('rowSum', e)))
          },
          true,
        )
      case 'RMSNormalization':
        return this.#tables.rows(
          dims,
          [a!, b!],
          (kernel, [x, scale]) => {
            const squares = kernel.compute('rowSumSquare', x!)
            const mean = kernel.compute('mul', squares, { value: 1 / dims.at(-1)! })
            const { float: epsilon } = node.attributes.epsilon as { float: number }
            const root = kernel.compute('sqrt', kernel.compute('add', mean, { value: epsilon }))
            return kernel.compute('mul', kernel.compute('mul', x!, kernel.compute('reciprocal', root)), scale!)
          },
          true,
        )
      case 'ReduceMax':
      case 'ReduceSum':
      case 'ReduceSumSquare':
        return this.#reduce(node.op, a!, out, dims)

      case 'Gemm': {
        const transA = node.attributes.transA === 1
        const transB = node.attributes.transB === 1
        const matrix = (value: Value, trans: boolean) => {
          const { view } = this.#places.locate(this.#places.place(value))
          return trans ? transposed(view, [1, 0]) : view
        }
        const bias = c && expanded(this.#places.locate(this.#places.place(c)).view, dims)
        return this.#product(out, dims, matrix(a!, transA), matrix(b!, transB), bias, 1)
      }
      case 'MatMul': {
        const inner = numbers(b!)
        if (inner.length === 2 && inner[1] === 1 && numbers(a!).length >= 2) return this.#tables.dotRows(a!, b!, out, dims)
        const { value, factor } = this.#withoutFactor(a!)
        return this.#product(
          out,
          dims,
          this.#places.locate(this.#places.place(value)).view,
          this.#places.locate(this.#places.place(b!)).view,
          undefined,
          factor,
        )
      }

      case 'Gather': {
        const data = this.#places.contiguous(a!)
        const columns = sizeOf(data.dims.slice(1))
        const step = {
          kind: 'gatherRows',
          data,
          indices: this.#places.contiguous(b!),
          out: whole(this.#places.arena(out), dims),
          columns,
        } as const
        return { view: step.out, ready: this.#places.push(step) }
      }
      case 'GatherElements': {
        if (dims.length !== 2 || axisOf(node, 2) !== 1) throw new NotLowered(`only the last axis of a matrix is known here`)
        const step = {
          kind: 'gatherElements',
          data: this.#places.contiguous(a!),
          indices: this.#places.contiguous(b!),
          out: whole(this.#places.arena(out), dims),
        } as const
        return { view: step.out, ready: this.#places.push(step) }
      }
      case 'ScatterElements':
        return this.#scatter(node, dims)

      case 'RotaryEmbedding': {
        const wide = (value: Value) => {
          const { view } = this.#places.locate(this.#places.place(value))
          return view.strides.at(-1) === 1 ? view : this.#places.copied(view).view
        }
        const step: Rotation = {
          kind: 'rotation',
          x: wide(a!),
          cos: wide(b!),
          sin: wide(c!),
          out: whole(this.#places.arena(out), dims),
          heads: node.attributes.num_heads as number,
        }
        return { view: step.out, ready: this.#places.push(step) }
      }
      default:
        throw new NotLowered(`the operator ${node.op} is not known here`)
    }
  }

  #reduce(op: 'ReduceMax' | 'ReduceSum' | 'ReduceSumSquare', a: Value, out: Value, dims: readonly number[]): Place {
    const wide = numbers(a)
    const axes = wide.flatMap((dim, axis) => (dim !== dims[axis] ? [axis] : []))
    if (axes.length === 0 && op !== 'ReduceSumSquare') return this.#places.place(a)
    if (axes.length === 1 && axes[0] === wide.length - 1) {
      const { kernel, operands } = this.#tables.kernelFor(wide, [a], true)
      const register = kernel.compute(
        op === 'ReduceMax' ? 'rowMax' : op === 'ReduceSum' ? 'rowSum' : 'rowSumSquare',
        operands[0]!,
      )
      return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
    }
    if (op === 'ReduceSumSquare' && sizeOf(dims) === 1) {
      const step: SumSquares = { kind: 'sumSquares', from: this.#places.contiguous(a), out: whole(this.#places.arena(out), dims) }
      return { view: step.out, ready: this.#places.push(step) }
    }
    if (op === 'ReduceMax') throw new NotLowered(`a largest element over other axes than the last is not known here`)
    if (op === 'ReduceSumSquare') {
      const squares: Value = { ...a, name: `${out.name}:squares` }
      this.#places.set(
        squares,
        this.#tables.rows(wide, [a], (kernel, [x]) => kernel.compute('mul', x!, x!)),
      )
      return this.#reduce('ReduceSum', squares, out, dims)
    }
    const leading = axes.at(-1)! + 1
    // All in front of the last reduced axis is reduced or of size 1.
    if (sizeOf(dims.slice(0, leading)) === 1 && sizeOf(dims) > 1) {
      const table = [sizeOf(wide.slice(0, leading)), sizeOf(wide.slice(leading))]
      const flat: Value = { ...a, name: `${out.name}:table`, shape: table }
      this.#places.set(flat, this.#places.reshape(this.#places.place(a), table))
      const { kernel, operands } = this.#tables.kernelFor(table, [flat], true)
      const sums = this.#places.arena(out)
      kernel.sumColumns(operands[0]!, sums)
      return { view: whole(sums, dims), ready: kernel.index }
    }
    const to = whole(this.#places.arena(out), dims)
    const step: ReduceStep = { kind: 'reduce', from: this.#places.locate(this.#places.place(a)).view, out: expanded(to, wide) }
    return { view: to, ready: this.#places.push(step) }
  }

  // ---- other steps ----

  #product(out: Value, dims: readonly number[], a: View, b: View, bias: View | undefined, alpha: number): Place {
    const batch = dims.slice(0, -2)
    const step: MatrixProduct = {
      kind: 'product',
      a: expanded(a, [...batch, ...a.dims.slice(-2)]),
      b: expanded(b, [...batch, ...b.dims.slice(-2)]),
      bias,
      c: whole(this.#places.arena(out), dims),
      alpha,
    }
    return { view: step.c, ready: this.#places.push(step) }
  }

  /** A value that is only another one times a number: that one and the number. */
  #withoutFactor(value: Value): { value: Value; factor: number } {
    const node = this.#producers.get(value.name)
    if (node?.op === 'Mul') {
      const [a, b] = node.inputs as [Value, Value]
      const factor = this.#values.get(b.name)
      if (factor !== undefined && b.shape.length === 0) return { value: a, factor }
    }
    return { value, factor: 1 }
  }

  #scatter(node: Node<OpName>, dims: readonly number[]): Place {
    const [data, indices, updates] = node.inputs as [Value, Value, Value]
    if (node.attributes.reduction !== 'add') throw new NotLowered(`only sums are scattered here`)
    const place = this.#places.place(data)
    const { view } = this.#places.locate(place)
    // In place where nobody else reads it.
    const own = this.#uses.get(data.name) === 1 && fresh.has(this.#producers.get(data.name)?.op ?? '')
    const onto = own ? view : this.#places.copied(view).view
    const axis = axisOf(node, dims.length)
    const index = this.#places.locate(this.#places.place(indices)).view
    if (axis === 0 && index.strides.slice(1).every((stride, i) => stride === 0 || index.dims[i + 1] === 1)) {
      const first = { ...index, dims: [index.dims[0]!], strides: [index.strides[0]!] }
      const rows = first.strides[0] === 1 || first.dims[0] === 1 ? first : this.#places.copied(first).view
      const columns = sizeOf(dims.slice(1))
      this.#places.push({ kind: 'scatterAddRows', onto, indices: rows, updates: this.#places.contiguous(updates), columns })
    } else if (axis === 1 && dims.length === 2) {
      this.#places.push({
        kind: 'scatterAddElements',
        onto,
        indices: this.#places.contiguous(indices),
        updates: this.#places.contiguous(updates),
      })
    } else throw new NotLowered(`scattering along axis ${axis} of ${dims.length} is not known here`)
    return { view: onto, ready: this.#places.steps.length - 1 }
  }

  /** The memory of an output of the graph: that of its value where nothing else stands in it. */
  #asOutput(value: Value, index: number): Storage {
    const { view } = this.#places.locate(this.#places.place(value))
    const given = { kind: 'output', index } as const
    const { storage } = view
    if (!storage.given && isContiguous(view) && storage.elements === sizeOf(view.dims)) {
      ;(storage as { given?: Storage['given'] }).given = given
      return storage
    }
    const out: Storage = { dtype: value.dtype, elements: sizeOf(view.dims), given }
    this.#places.push({ kind: 'copy', from: view, to: whole(out, view.dims) })
    return out
  }
}

/** Operators whose result lies in memory of its own. */
const fresh: ReadonlySet<string> = new Set<OpName>([
  'Gemm',
  'MatMul',
  'Add',
  'Sub',
  'Mul',
  'Div',
  'ScatterElements',
  'Gather',
  'Concat',
])

const movesOnly: ReadonlySet<string> = new Set<OpName>(['Concat', 'Expand', 'Reshape', 'Split', 'Transpose', 'Unsqueeze'])
/** Their second input is integers: indices, or axes. */
const locates: ReadonlySet<string> = new Set<OpName>([
  'Gather',
  'GatherElements',
  'ReduceMax',
  'ReduceSum',
  'ReduceSumSquare',
  'ScatterElements',
])

/** Of those that there are here. */
const isFloat = ({ dtype }: Value): boolean => dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16'

const axisOf = (node: Node, rank: number): number => {
  const axis = (node.attributes.axis as number | undefined) ?? 0
  return axis < 0 ? axis + rank : axis
}
