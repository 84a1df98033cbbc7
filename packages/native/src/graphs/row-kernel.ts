/**
 * Row kernels: elementwise operators and reductions of one table [rows, columns], done together block by block of rows, so that what they
 * hand to each other stays in the cache. A softmax, a norm with its gradient, or AdamW are one kernel each.
 *
 * A register is `full` (a number for each element of the block), or `row` (one for each of its rows).
 */
import type { Storage } from './view.ts'

export type Kind = 'full' | 'row'

export interface Register {
  readonly kind: Kind
  /** Where the register is kept for other steps; undefined: nowhere. */
  storage?: Storage
  /** A load; or what is computed. */
  readonly from: Load | Instruction
}

/** A number for all of the table: known now, or the one element at a place. */
export type Uniform = { readonly value: number } | { readonly storage: Storage; readonly offset: number }

export type Operand = Register | Uniform

/**
 * Reads a table, or a part that repeats: the element of row r, which counts through `dims`, and column c is at
 * offset + sum(index of r * strides) + c. `columns`: the same numbers in every row.
 */
export interface Load {
  readonly op: 'load'
  readonly what: 'full' | 'row' | 'columns'
  readonly storage: Storage
  readonly offset: number
  readonly dims: readonly number[]
  readonly strides: readonly number[]
}

export const unary = ['neg', 'exp', 'log', 'sqrt', 'sigmoid', 'tanh', 'reciprocal', 'abs', 'copy'] as const
export const binary = ['add', 'sub', 'mul', 'div', 'min'] as const
/** Of each row. */
export const reductions = ['rowSum', 'rowMax', 'rowSumSquare'] as const
export const operations = [...unary, ...binary, ...reductions, 'columnSum'] as const
export type Operation = (typeof operations)[number]

export interface Instruction {
  readonly op: Operation
  readonly a: Operand
  readonly b?: Operand | undefined
  /** Of `columnSum`: where the sums over all rows go, [columns]. */
  readonly sums?: Storage
}

export const isRegister = (operand: Operand): operand is Register => 'kind' in operand

export class RowKernel {
  readonly kind = 'rows'
  /** Place among the steps. */
  readonly index: number
  readonly rows: number
  readonly columns: number
  /** In the order of computing, loads among them. */
  readonly registers: Register[] = []
  readonly columnSums: Instruction[] = []
  readonly #loads = new Map<string, Register>()

  constructor(index: number, rows: number, columns: number) {
    this.index = index
    this.rows = rows
    this.columns = columns
  }

  load(load: Load, storageId: (storage: Storage) => number): Register {
    const key = [load.what, storageId(load.storage), load.offset, load.dims, '|', load.strides].join()
    let register = this.#loads.get(key)
    if (!register) {
      register = { kind: load.what === 'row' ? 'row' : 'full', from: load }
      this.#loads.set(key, register)
      this.registers.push(register)
    }
    return register
  }

  /** The result is full if any operand is. */
  compute(op: Operation, a: Operand, b?: Operand): Register {
    const reduces = (reductions as readonly string[]).includes(op)
    const full = [a, b].some((operand) => operand && isRegister(operand) && operand.kind === 'full')
    const register: Register = { kind: full && !reduces ? 'full' : 'row', from: { op, a, b } }
    this.registers.push(register)
    return register
  }

  /** The same, or what has computed just that before. */
  once(op: Operation, a: Operand, b?: Operand): Register {
    const same = (x: Operand | undefined, y: Operand | undefined) =>
      x === y || (x !== undefined && y !== undefined && 'value' in x && 'value' in y && x.value === y.value)
    const known = this.registers.find(({ from }) => from.op === op && same(from.a, a) && same(from.b, b))
    return known ?? this.compute(op, a, b)
  }

  sumColumns(a: Operand, sums: Storage): void {
    this.columnSums.push({ op: 'columnSum', a: isRegister(a) ? a : this.compute('copy', a), sums })
  }
}
