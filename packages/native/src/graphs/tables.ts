/**
 * Which row kernel computes what: an operator over a table joins a kernel of the same table that stands behind all that it needs,
 * so that neighbours become one.
 */
import type { Value } from '@parscale/core/internal/graph'
import { type InKernel, isInKernel, numbers, type Place, type Places } from './places.ts'
import { isRegister, type Kind, type Load, type Operand, type Operation, type Register, RowKernel } from './row-kernel.ts'
import { collapsed, expanded, reshaped, type Storage, sizeOf, type View } from './view.ts'

/** More would not make anything faster, and registers are memory. */
const mostInstructions = 96
/** Operators that are done once more rather than read and written. */
const mostAgain = 3
/** How far back a kernel is looked for that could take another operator in. */
const kernelsBack = 6

export class Tables {
  readonly #places: Places
  /** Single numbers that are known now, by name. */
  readonly #values: ReadonlyMap<string, number>
  readonly #storageIds = new Map<Storage, number>()

  constructor(places: Places, values: ReadonlyMap<string, number>) {
    this.#places = places
    this.#values = values
  }

  /** An operator over values that broadcast to `dims`. */
  rows(
    dims: readonly number[],
    inputs: readonly Value[],
    compute: (kernel: RowKernel, operands: readonly Operand[]) => Register,
    byRow = false,
  ): Place {
    const { kernel, operands } = this.kernelFor(dims, inputs, byRow)
    const register = compute(kernel, operands)
    return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
  }

  /** What is repeated is computed once and repeated then. */
  unary(op: Operation, a: Value, out: Value, dims: readonly number[]): Place {
    const place = this.#places.place(a)
    if (!isInKernel(place) && place.view.strides.some((stride, axis) => stride === 0 && dims[axis]! > 1)) {
      const { view, ready } = place
      const once = { ...view, dims: view.dims.map((dim, axis) => (view.strides[axis] === 0 ? 1 : dim)) }
      const single: Value = { ...a, name: `${out.name}:once:in`, shape: once.dims }
      this.#places.set(single, { view: once, ready })
      return this.#places.expand(
        this.rows(once.dims, [single], (kernel, [x]) => kernel.compute(op, x!)),
        dims,
      )
    }
    return this.rows(dims, [a], (kernel, [x]) => kernel.compute(op, x!))
  }

  /** a [..., C] times b [C, 1]. */
  dotRows(a: Value, b: Value, out: Value, dims: readonly number[]): Place {
    const { view, ready } = this.#places.locate(this.#places.place(b))
    const wide = numbers(a)
    const column: Value = { ...b, name: `${out.name}:column`, shape: [wide.at(-1)!] }
    this.#places.set(column, this.#places.reshape({ view, ready }, [wide.at(-1)!]))
    const { kernel, operands } = this.kernelFor(wide, [a, column], true)
    const register = kernel.compute('rowSum', kernel.compute('mul', operands[0]!, operands[1]!))
    return { kernel, register, dims, views: viewsOf(kernel, register, dims), inOrder: true }
  }

  /**
   * A kernel over a table of these dimensions that can have all inputs, with the inputs as it has them.
   *
   * @param byRow the last axis is the table's columns, as for what is summed along it; else a table may be one row
   */
  kernelFor(dims: readonly number[], inputs: readonly Value[], byRow: boolean): { kernel: RowKernel; operands: Operand[] } {
    const places = inputs.map((value) => this.#places.place(value))
    const wanted = places.flatMap((place) => (isInKernel(place) ? [place.kernel] : []))
    const recent = this.#places.steps.filter((step) => step instanceof RowKernel).slice(-kernelsBack)
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
      const view = expanded(this.#places.locate(place).view, dims)
      return loadOf(view, rows === 1) ? view : this.#places.copied(view).view
    })
    const kernel = new RowKernel(this.#places.steps.length, rows, columns)
    this.#places.steps.push(kernel)
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
      const again = this.#again(kernel, table, dims, place)
      if (again) return again
      // Looked at as it will lie; kept only when it is taken.
      const kept = place.register.storage
      const steps = this.#places.steps.length
      const { view, ready } = this.#places.locate(place)
      if (this.#places.steps.length > steps || ready >= kernel.index) {
        this.#places.steps.length = steps
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

  /**
   * What is cheap and made of what lies in memory anyway is computed once more, with the same bits, instead of kept. Undefined: it is not,
   * or the other kernel has another table.
   */
  #again(kernel: RowKernel, table: Kind, dims: readonly number[], place: InKernel): (() => Operand) | undefined {
    const { kernel: other, register } = place
    if (register.kind !== 'full' || table !== 'full' || !place.inOrder || register.storage) return undefined
    if (other.rows !== kernel.rows || other.columns !== kernel.columns || sizeOf(dims) !== sizeOf(place.dims)) return undefined
    const steps: Register[] = []
    const collect = (of: Operand): boolean => {
      if (!isRegister(of) || steps.includes(of)) return true
      if (of.from.op === 'load') {
        steps.push(of)
        // An input may be renewed in place by the time this kernel runs.
        return of.kind === 'full' && of.from.storage.given?.kind !== 'input'
      }
      if (of.kind === 'row') return false
      if (!collect(of.from.a) || !(of.from.b === undefined || collect(of.from.b))) return false
      steps.push(of)
      return true
    }
    if (!collect(register)) return undefined
    const loads = steps.filter(({ from }) => from.op === 'load').length
    if (loads > 2 || steps.length - loads > mostAgain) return undefined
    return () => {
      const made = new Map<Register, Register>()
      const operand = (of: Operand): Operand => (isRegister(of) ? made.get(of)! : of)
      for (const step of steps) {
        const { from } = step
        made.set(
          step,
          from.op === 'load'
            ? kernel.load(from, this.#storageId)
            : kernel.once(from.op, operand(from.a), from.b && operand(from.b)),
        )
      }
      return made.get(register)!
    }
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

  #storageId = (storage: Storage): number => {
    let id = this.#storageIds.get(storage)
    if (id === undefined) {
      id = this.#storageIds.size
      this.#storageIds.set(storage, id)
    }
    return id
  }
}

/** From a register's memory to a value of these dimensions: one number a row may stand for all of it. */
export function viewsOf(kernel: RowKernel, register: Register, dims: readonly number[]): InKernel['views'] {
  if (register.kind === 'full' || sizeOf(dims) === kernel.rows) return [(view) => reshaped(view, dims)]
  const single = kernel.rows === 1 ? dims.map(() => 1) : [...dims.slice(0, -1), 1]
  return [(view) => reshaped(view, single), (view) => expanded(view, dims)]
}

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
