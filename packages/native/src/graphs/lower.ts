/**
 * From a graph to steps over memory: products of matrices, row kernels, and a few that move rows. Views cost nothing, neighbouring
 * elementwise operators become one row kernel.
 *
 * All shapes have to be numbers: training graphs are.
 */
import type { Graph, Node, OpName, Value } from '@parscale/core/internal/graph'
import { type Kind, type Load, type Operand, type Operation, type Register, RowKernel } from './row-kernel.ts'
import {
  collapsed,
  expanded,
  isContiguous,
  reshaped,
  rowMajor,
  type Storage,
  sizeOf,
  sliced,
  transposed,
  type View,
  whole,
} from './view.ts'

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

export interface Lowered {
  readonly steps: readonly Step[]
  /** Memory of the graph's outputs, in their order. */
  readonly outputs: readonly Storage[]
}

/** A value that is in memory once step `ready` is done. */
interface Located {
  readonly view: View
  readonly ready: number
}

/** A value that a row kernel computes. */
interface InKernel {
  readonly kernel: RowKernel
  readonly register: Register
  /** What the value's dimensions are; the register's elements in row-major order, or one for each row and the last axis repeated. */
  readonly dims: readonly number[]
  /** From the register's memory to the value. */
  readonly views: readonly ((view: View) => View | undefined)[]
  /** False: something but order-preserving views came between. */
  readonly inOrder: boolean
}

type Place = Located | InKernel

const isInKernel = (place: Place): place is InKernel => 'register' in place

/** More would not make anything faster, and registers are memory. */
const mostInstructions = 96
/** How far back a kernel is looked for that could take another operator in. */
const kernelsBack = 6

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
  readonly #places = new Map<string, Place>()
  readonly #steps: Step[] = []
  readonly #storageIds = new Map<Storage, number>()
  readonly #producers = new Map<string, Node<OpName>>()
  /** How often a value is read; outputs of the graph count as read. */
  readonly #uses = new Map<string, number>()

  constructor(graph: Graph<OpName>, constants: ReadonlyMap<string, Storage>, values: ReadonlyMap<string, number>) {
    this.#graph = graph
    this.#values = values
    for (const [index, input] of graph.inputs.entries()) {
      const dims = numbers(input)
      const storage: Storage = { dtype: input.dtype, elements: sizeOf(dims), given: { kind: 'input', index } }
      this.#places.set(input.name, { view: whole(storage, dims), ready: -1 })
    }
    for (const { value } of graph.initializers) {
      const storage = constants.get(value.name)
      if (storage) this.#places.set(value.name, { view: whole(storage, numbers(value)), ready: -1 })
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
        for (const [i, place] of places.entries()) this.#set(node.outputs[i]!, place)
      } catch (error) {
        throw new Error(`${this.#graph.name}: ${node.name}: ${(error as Error).message}`)
      }
    }
    const outputs = this.#graph.outputs.map((value, index) => this.#asOutput(value, index))
    return { steps: this.#steps, outputs }
  }

  /** Of the node's outputs; one of them all may stand alone. */
  #lowerNode(node: Node<OpName>): Place | readonly Place[] {
    const [a, b, c] = node.inputs as (Value | undefined)[]
    const out = node.outputs[0]!
    const dims = numbers(out)
    switch (node.op) {
      case 'Reshape':
      case 'Unsqueeze':
        return this.#reshape(this.#place(a!), dims)
      case 'Expand':
        return this.#expand(this.#place(a!), dims)
      case 'Transpose': {
        const { view, ready } = this.#locate(this.#place(a!))
        return { view: transposed(view, node.attributes.perm as number[]), ready }
      }
      case 'Split': {
        const { view, ready } = this.#locate(this.#place(a!))
        const axis = axisOf(node, dims.length)
        let from = 0
        return node.outputs.map((part): Located => {
          const size = numbers(part)[axis]!
          from += size
          return { view: sliced(view, axis, from - size, size), ready }
        })
      }
      case 'Concat': {
        const to = whole(this.#arena(out), dims)
        const axis = axisOf(node, dims.length)
        let from = 0
        for (const input of node.inputs as Value[]) {
          const size = numbers(input)[axis]!
          this.#push({ kind: 'copy', from: this.#locate(this.#place(input)).view, to: sliced(to, axis, from, size) })
          from += size
        }
        return { view: to, ready: this.#steps.length - 1 }
      }
      case 'Cast':
        if (a!.dtype === out.dtype) return this.#place(a!)
        throw new Error(`a cast from ${a!.dtype} to ${out.dtype} is not known here`)

      case 'Add':
      case 'Sub':
      case 'Mul':
      case 'Div':
      case 'Min':
        return this.#rows(dims, [a!, b!], (kernel, [x, y]) => kernel.compute(node.op.toLowerCase() as Operation, x!, y!))
      case 'Neg':
      case 'Exp':
      case 'Log':
      case 'Sqrt':
      case 'Sigmoid':
      case 'Tanh':
      case 'Abs':
        return this.#unary(node.op.toLowerCase() as Operation, a!, out, dims)
      case 'Softmax':
        return this.#rows(
          dims,
          [a!],
          (kernel, [x]) => {
            const e = kernel.compute('exp', kernel.compute('sub', x!, kernel.compute('rowMax', x!)))
            return kernel.compute('mul', e, kernel.compute('reciprocal', kernel.compute('rowSum', e)))
          },
          true,
        )
      case 'RMSNormalization':
        return this.#rows(
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
          const { view } = this.#locate(this.#place(value))
          return trans ? transposed(view, [1, 0]) : view
        }
        const bias = c && expanded(this.#locate(this.#place(c)).view, dims)
        return this.#product(out, dims, matrix(a!, transA), matrix(b!, transB), bias, 1)
      }
      case 'MatMul': {
        const inner = numbers(b!)
        if (inner.length === 2 && inner[1] === 1 && numbers(a!).length >= 2) return this.#dotRows(a!, b!, out, dims)
        const { value, factor } = this.#withoutFactor(a!)
        return this.#product(
          out,
          dims,
          this.#locate(this.#place(value)).view,
          this.#locate(this.#place(b!)).view,
          undefined,
          factor,
        )
      }

      case 'Gather': {
        const data = this.#contiguous(a!)
        const columns = sizeOf(data.dims.slice(1))
        const step = {
          kind: 'gatherRows',
          data,
          indices: this.#contiguous(b!),
          out: whole(this.#arena(out), dims),
          columns,
        } as const
        return { view: step.out, ready: this.#push(step) }
      }
      case 'GatherElements': {
        if (dims.length !== 2 || axisOf(node, 2) !== 1) throw new Error(`only the last axis of a matrix is known here`)
        const step = {
          kind: 'gatherElements',
          data: this.#contiguous(a!),
          indices: this.#contiguous(b!),
          out: whole(this.#arena(out), dims),
        } as const
        return { view: step.out, ready: this.#push(step) }
      }
      case 'ScatterElements':
        return this.#scatter(node, dims)

      case 'RotaryEmbedding': {
        const wide = (value: Value) => {
          const { view } = this.#locate(this.#place(value))
          return view.strides.at(-1) === 1 ? view : this.#copied(view).view
        }
        const step: Rotation = {
          kind: 'rotation',
          x: wide(a!),
          cos: wide(b!),
          sin: wide(c!),
          out: whole(this.#arena(out), dims),
          heads: node.attributes.num_heads as number,
        }
        return { view: step.out, ready: this.#push(step) }
      }
      default:
        throw new Error(`the operator ${node.op} is not known here`)
    }
  }

  // ---- places ----

  #place(value: Value): Place {
    const place = this.#places.get(value.name)
    if (!place) throw new Error(`${value.name} is not there yet`)
    return place
  }

  #set(value: Value, place: Place): void {
    this.#places.set(value.name, place)
  }

  #push(step: Step): number {
    this.#steps.push(step)
    return this.#steps.length - 1
  }

  #arena(value: Value): Storage {
    return { dtype: value.dtype, elements: sizeOf(numbers(value)) }
  }

  #storageId = (storage: Storage): number => {
    let id = this.#storageIds.get(storage)
    if (id === undefined) {
      id = this.#storageIds.size
      this.#storageIds.set(storage, id)
    }
    return id
  }

  /** In memory: what a kernel computes is kept from now on. */
  #locate(place: Place): Located {
    if (!isInKernel(place)) return place
    const { kernel, register, views } = place
    register.storage ??= { dtype: 'float32', elements: register.kind === 'full' ? kernel.rows * kernel.columns : kernel.rows }
    let located: Located = {
      view: whole(register.storage, register.kind === 'full' ? [kernel.rows, kernel.columns] : [kernel.rows, 1]),
      ready: kernel.index,
    }
    for (const next of views) {
      const view = next(located.view)
      located = view ? { view, ready: located.ready } : this.#viewOfCopy(located, next)
    }
    return located
  }

  #viewOfCopy(located: Located, next: (view: View) => View | undefined): Located {
    const copy = this.#copied(located.view)
    return { view: next(copy.view)!, ready: copy.ready }
  }

  #copied(view: View): Located {
    const storage: Storage = { dtype: view.storage.dtype, elements: sizeOf(view.dims) }
    const to = whole(storage, view.dims)
    return { view: to, ready: this.#push({ kind: 'copy', from: view, to }) }
  }

  #contiguous(value: Value): View {
    const { view } = this.#locate(this.#place(value))
    return isContiguous(view) ? { ...view, strides: rowMajor(view.dims) } : this.#copied(view).view
  }

  #reshape(place: Place, dims: readonly number[]): Place {
    const next = (view: View) => reshaped(view, dims)
    if (!isInKernel(place)) {
      const view = next(place.view)
      return view ? { view, ready: place.ready } : this.#viewOfCopy(place, next)
    }
    const { kernel, register } = place
    const keepsOrder =
      register.kind === 'full'
        ? dims.at(-1) === kernel.columns || kernel.rows === 1
        : place.dims.at(-1) === 1 && dims.at(-1) === 1
    return { ...place, dims, views: [...place.views, next], inOrder: place.inOrder && keepsOrder }
  }

  #expand(place: Place, dims: readonly number[]): Place {
    const next = (view: View) => expanded(view, dims)
    if (!isInKernel(place)) return { view: next(place.view), ready: place.ready }
    const { kernel, register } = place
    const rowsKept =
      sizeOf(dims.slice(0, -1)) === kernel.rows &&
      sizeOf(place.dims.slice(0, -1)) === kernel.rows &&
      dims.at(-1) === kernel.columns
    const keepsOrder = sizeOf(dims) === sizeOf(place.dims) || (register.kind === 'row' && rowsKept)
    return { ...place, dims, views: [...place.views, next], inOrder: place.inOrder && keepsOrder }
  }

  // ---- row kernels ----

  /** An operator over values that broadcast to `dims`. */
  #rows(
    dims: readonly number[],
    inputs: readonly Value[],
    compute: (kernel: RowKernel, operands: readonly Operand[]) => Register,
    byRow = false,
  ): Place {
    const { kernel, operands } = this.#kernelFor(dims, inputs, byRow)
    const register = compute(kernel, operands)
    return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
  }

  /** What is repeated is computed once and repeated then. */
  #unary(op: Operation, a: Value, out: Value, dims: readonly number[]): Place {
    const place = this.#place(a)
    if (!isInKernel(place) && place.view.strides.some((stride, axis) => stride === 0 && dims[axis]! > 1)) {
      const { view, ready } = place
      const once = { ...view, dims: view.dims.map((dim, axis) => (view.strides[axis] === 0 ? 1 : dim)) }
      const single: Value = { ...a, name: `${out.name}:once:in`, shape: once.dims }
      this.#set(single, { view: once, ready })
      return this.#expand(
        this.#rows(once.dims, [single], (kernel, [x]) => kernel.compute(op, x!)),
        dims,
      )
    }
    return this.#rows(dims, [a], (kernel, [x]) => kernel.compute(op, x!))
  }

  /** a [..., C] times b [C, 1]. */
  #dotRows(a: Value, b: Value, out: Value, dims: readonly number[]): Place {
    const { view, ready } = this.#locate(this.#place(b))
    const wide = numbers(a)
    const column: Value = { ...b, name: `${out.name}:column`, shape: [wide.at(-1)!] }
    this.#set(column, this.#reshape({ view, ready }, [wide.at(-1)!]))
    const { kernel, operands } = this.#kernelFor(wide, [a, column], true)
    const register = kernel.compute('rowSum', kernel.compute('mul', operands[0]!, operands[1]!))
    return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
  }

  #reduce(op: 'ReduceMax' | 'ReduceSum' | 'ReduceSumSquare', a: Value, out: Value, dims: readonly number[]): Place {
    const wide = numbers(a)
    const axes = wide.flatMap((dim, axis) => (dim !== dims[axis] ? [axis] : []))
    if (axes.length === 0 && op !== 'ReduceSumSquare') return this.#place(a)
    if (axes.length === 1 && axes[0] === wide.length - 1) {
      const { kernel, operands } = this.#kernelFor(wide, [a], true)
      const register = kernel.compute(
        op === 'ReduceMax' ? 'rowMax' : op === 'ReduceSum' ? 'rowSum' : 'rowSumSquare',
        operands[0]!,
      )
      return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
    }
    if (op === 'ReduceSumSquare' && sizeOf(dims) === 1) {
      const step: SumSquares = { kind: 'sumSquares', from: this.#contiguous(a), out: whole(this.#arena(out), dims) }
      return { view: step.out, ready: this.#push(step) }
    }
    if (op === 'ReduceMax') throw new Error(`a largest element over other axes than the last is not known here`)
    if (op === 'ReduceSumSquare') {
      const squares: Value = { ...a, name: `${out.name}:squares` }
      this.#set(
        squares,
        this.#rows(wide, [a], (kernel, [x]) => kernel.compute('mul', x!, x!)),
      )
      return this.#reduce('ReduceSum', squares, out, dims)
    }
    const leading = axes.at(-1)! + 1
    // All in front of the last reduced axis is reduced or of size 1.
    if (sizeOf(dims.slice(0, leading)) === 1 && sizeOf(dims) > 1) {
      const table = [sizeOf(wide.slice(0, leading)), sizeOf(wide.slice(leading))]
      const flat: Value = { ...a, name: `${out.name}:table`, shape: table }
      this.#set(flat, this.#reshape(this.#place(a), table))
      const { kernel, operands } = this.#kernelFor(table, [flat], true)
      const sums = this.#arena(out)
      kernel.sumColumns(operands[0]!, sums)
      return { view: whole(sums, dims), ready: kernel.index }
    }
    const to = whole(this.#arena(out), dims)
    const step: ReduceStep = { kind: 'reduce', from: this.#locate(this.#place(a)).view, out: expanded(to, wide) }
    return { view: to, ready: this.#push(step) }
  }

  /**
   * A kernel over a table of these dimensions that can have all inputs, with the inputs as it has them.
   *
   * @param byRow the last axis is the table's columns, as for what is summed along it; else a table may be one row
   */
  #kernelFor(dims: readonly number[], inputs: readonly Value[], byRow: boolean): { kernel: RowKernel; operands: Operand[] } {
    const places = inputs.map((value) => this.#place(value))
    const wanted = places.flatMap((place) => (isInKernel(place) ? [place.kernel] : []))
    const recent = this.#steps.filter((step) => step instanceof RowKernel).slice(-kernelsBack)
    const candidates = [...new Set([...wanted, ...recent])].sort((x, y) => y.index - x.index)
    for (const kernel of candidates) {
      if (kernel.registers.length > mostInstructions) continue
      const table = tableOf(kernel, dims)
      if (!table || (byRow && (table === 'row' || kernel.columns !== dims.at(-1)))) continue
      const operands = inputs.map((value, i) => this.#operand(kernel, table, dims, value, places[i]!))
      if (operands.every((operand) => operand !== undefined)) return { kernel, operands: operands.map((operand) => operand!()) }
    }
    // In a kernel of its own everything else is in memory, behind each other along the last axis.
    const last = dims.at(-1) ?? 1
    const [rows, columns] = last === 1 && !byRow ? [1, sizeOf(dims)] : [sizeOf(dims) / last, last]
    const located = places.map((place) => {
      const view = expanded(this.#locate(place).view, dims)
      return loadOf(view, rows === 1) ? view : this.#copied(view).view
    })
    const kernel = new RowKernel(this.#steps.length, rows, columns)
    this.#steps.push(kernel)
    const table = tableOf(kernel, dims)!
    const operands = inputs.map((value, i) => this.#operand(kernel, table, dims, value, { view: located[i]!, ready: -1 })!())
    return { kernel, operands }
  }

  /** How a kernel gets an input, broadcast to `dims`; undefined where it cannot. Nothing is changed before it is called. */
  #operand(kernel: RowKernel, table: Kind, dims: readonly number[], value: Value, place: Place): (() => Operand) | undefined {
    const known = this.#values.get(value.name)
    if (known !== undefined) return () => ({ value: known })
    if (isInKernel(place) && place.kernel === kernel) {
      if (!place.inOrder) return undefined
      const { register } = place
      const sameSize = sizeOf(place.dims) === sizeOf(dims)
      if (register.kind === 'full') return table === 'full' && sameSize ? () => register : undefined
      // One number a row: the last axis is of size 1 or repeated, all others are the table's rows.
      const lead = sizeOf(place.dims.slice(0, -1))
      const repeats = place.dims.at(-1) === 1 || (table === 'full' && place.dims.at(-1) === kernel.columns)
      return lead === kernel.rows && repeats ? () => register : undefined
    }
    if (isInKernel(place)) {
      if (place.kernel.index >= kernel.index) return undefined
      // Looked at as it will lie; kept only when it is taken.
      const kept = place.register.storage
      const steps = this.#steps.length
      const { view, ready } = this.#locate(place)
      if (this.#steps.length > steps || ready >= kernel.index) {
        this.#steps.length = steps
        if (!kept) delete place.register.storage
        return undefined
      }
      const load = this.#load(kernel, table, expanded(view, dims))
      if (!load && !kept) delete place.register.storage
      return load
    }
    if (place.ready >= kernel.index) return undefined
    return this.#load(kernel, table, expanded(place.view, dims))
  }

  #load(kernel: RowKernel, table: Kind, view: View): (() => Operand) | undefined {
    const { storage, offset } = view
    if (view.strides.every((stride, axis) => stride === 0 || view.dims[axis] === 1)) return () => ({ storage, offset })
    const load = loadOf(view, table === 'full' && kernel.rows === 1)
    if (!load) return undefined
    // Of a table with one number a row, that is the only kind of load.
    if (table === 'row') {
      const { dims, strides } = collapsed(view.dims, view.strides)
      const row: Load = { op: 'load', what: 'row', storage, offset, dims, strides: strides[0]! }
      return () => kernel.load(row, this.#storageId)
    }
    return () => kernel.load(load, this.#storageId)
  }

  // ---- other steps ----

  #product(out: Value, dims: readonly number[], a: View, b: View, bias: View | undefined, alpha: number): Place {
    const batch = dims.slice(0, -2)
    const step: MatrixProduct = {
      kind: 'product',
      a: expanded(a, [...batch, ...a.dims.slice(-2)]),
      b: expanded(b, [...batch, ...b.dims.slice(-2)]),
      bias,
      c: whole(this.#arena(out), dims),
      alpha,
    }
    return { view: step.c, ready: this.#push(step) }
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
    if (node.attributes.reduction !== 'add') throw new Error(`only sums are scattered here`)
    const place = this.#place(data)
    const { view } = this.#locate(place)
    // In place where nobody else reads it.
    const own = this.#uses.get(data.name) === 1 && fresh.has(this.#producers.get(data.name)?.op ?? '')
    const onto = own ? view : this.#copied(view).view
    const axis = axisOf(node, dims.length)
    const index = this.#locate(this.#place(indices)).view
    if (axis === 0 && index.strides.slice(1).every((stride, i) => stride === 0 || index.dims[i + 1] === 1)) {
      const first = { ...index, dims: [index.dims[0]!], strides: [index.strides[0]!] }
      const rows = first.strides[0] === 1 || first.dims[0] === 1 ? first : this.#copied(first).view
      const columns = sizeOf(dims.slice(1))
      this.#push({ kind: 'scatterAddRows', onto, indices: rows, updates: this.#contiguous(updates), columns })
    } else if (axis === 1 && dims.length === 2) {
      this.#push({ kind: 'scatterAddElements', onto, indices: this.#contiguous(indices), updates: this.#contiguous(updates) })
    } else throw new Error(`scattering along axis ${axis} of ${dims.length} is not known here`)
    return { view: onto, ready: this.#steps.length - 1 }
  }

  /** The memory of an output of the graph: that of its value where nothing else stands in it. */
  #asOutput(value: Value, index: number): Storage {
    const { view } = this.#locate(this.#place(value))
    const given = { kind: 'output', index } as const
    const { storage } = view
    if (!storage.given && isContiguous(view) && storage.elements === sizeOf(view.dims)) {
      ;(storage as { given?: Storage['given'] }).given = given
      return storage
    }
    const out: Storage = { dtype: value.dtype, elements: sizeOf(view.dims), given }
    this.#push({ kind: 'copy', from: view, to: whole(out, view.dims) })
    return out
  }
}

/** From a register's memory to a value of these dimensions: one number a row may stand for all of it. */
function viewsOf(kernel: RowKernel, register: Register, dims: readonly number[]): InKernel['views'] {
  if (register.kind === 'full' || sizeOf(dims) === kernel.rows) return [(view) => reshaped(view, dims)]
  const single = kernel.rows === 1 ? dims.map(() => 1) : [...dims.slice(0, -1), 1]
  return [(view) => reshaped(view, single), (view) => expanded(view, dims)]
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

/** Whether these dimensions are all of a kernel's table, or one number for each row; undefined: neither. */
function tableOf(kernel: RowKernel, dims: readonly number[]): Kind | undefined {
  const size = sizeOf(dims)
  const last = dims.at(-1) ?? 1
  if (size === kernel.rows * kernel.columns && (last === kernel.columns || kernel.rows === 1)) return 'full'
  return last === 1 && size === kernel.rows && kernel.rows > 1 ? 'row' : undefined
}

/** @param flat the table is one row: all axes count as the last one */
function loadOf(view: View, flat: boolean): Load | undefined {
  const { storage, offset, dims, strides } = view
  const load = (what: Load['what'], dims: readonly number[], strides: readonly number[]): Load => ({
    op: 'load',
    what,
    storage,
    offset,
    dims,
    strides,
  })
  const zero = (of: readonly number[]) => of.every((stride) => stride === 0)
  const all = collapsed(dims, strides)
  if (zero(all.strides[0]!)) return load('row', [], [])
  if (flat) return all.dims.length === 1 && all.strides[0]![0] === 1 ? load('full', [], []) : undefined
  const lead = collapsed(dims.slice(0, -1), strides.slice(0, -1))
  const stride = (dims.at(-1) ?? 1) === 1 ? 0 : strides.at(-1)!
  if (stride === 1) {
    return zero(lead.strides[0]!) ? load('columns', [], []) : load('full', lead.dims, lead.strides[0]!)
  }
  return stride === 0 ? load('row', lead.dims, lead.strides[0]!) : undefined
}

const axisOf = (node: Node, rank: number): number => {
  const axis = (node.attributes.axis as number | undefined) ?? 0
  return axis < 0 ? axis + rank : axis
}

function numbers({ name, shape }: Value): readonly number[] {
  if (shape.every((dim) => typeof dim === 'number')) return shape as readonly number[]
  throw new Error(`${name} has the shape [${shape.join(', ')}], only numbers are known here`)
}
