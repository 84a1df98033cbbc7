/** Steps as numbers, as program.cc reads them. Block 0 is the arena; then come inputs, outputs and constants of the graph. */
import { type Arena, bytesOf } from './arena.ts'
import { isRegister, type Operand, operations, type Register, type RowKernel } from './row-kernel.ts'
import type { Step } from './steps.ts'
import { collapsed, type Storage, sizeOf, type View } from './view.ts'

export interface Program {
  readonly code: Float64Array
  /** Bytes of each block. */
  readonly blocks: readonly number[]
}

export interface Blocks {
  readonly inputs: readonly number[]
  readonly outputs: readonly Storage[]
  /** Bytes of each constant. */
  readonly constants: readonly number[]
}

export function encode(steps: readonly Step[], arena: Arena, { inputs, outputs, constants }: Blocks): Program {
  const first = { input: 1, output: 1 + inputs.length, constant: 1 + inputs.length + outputs.length }
  const place = (storage: Storage, offset = 0): number[] => {
    const bytes = offset * (storage.dtype === 'int64' ? 8 : 4)
    const { given } = storage
    return given ? [first[given.kind] + given.index, bytes] : [0, arena.offsets.get(storage)! + bytes]
  }
  const code: number[] = []
  for (const step of steps) for (const number of encodeStep(step, place)) code.push(number)
  return { code: Float64Array.from(code), blocks: [arena.bytes, ...inputs, ...outputs.map(bytesOf), ...constants] }
}

type PlaceOf = (storage: Storage, offset?: number) => number[]

function encodeStep(step: Step, place: PlaceOf): number[] {
  const at = ({ storage, offset }: View) => place(storage, offset)
  switch (step.kind) {
    case 'product':
      return encodeProduct(step, at)
    case 'rows':
      return encodeRowKernel(step, place)
    case 'copy': {
      const { dims, strides } = collapsed(step.from.dims, step.from.strides, step.to.strides)
      return [2, step.to.storage.dtype === 'int64' ? 8 : 4, ...at(step.from), ...at(step.to), ...axes(dims, strides)]
    }
    case 'gatherRows':
      return [
        3,
        ...at(step.data),
        ...at(step.indices),
        ...at(step.out),
        sizeOf(step.indices.dims),
        step.data.dims[0]!,
        step.columns,
      ]
    case 'scatterAddRows':
      return [
        4,
        ...at(step.onto),
        ...at(step.indices),
        ...at(step.updates),
        sizeOf(step.indices.dims),
        step.onto.dims[0]!,
        step.columns,
      ]
    case 'gatherElements':
      return [5, ...at(step.data), ...at(step.indices), ...at(step.out), ...step.data.dims, step.indices.dims[1]!]
    case 'scatterAddElements':
      return [6, ...at(step.onto), ...at(step.indices), ...at(step.updates), ...step.onto.dims, step.indices.dims[1]!]
    case 'rotation': {
      const [B, T, width] = step.x.dims as [number, number, number]
      const two = (view: View) => [...at(view), view.strides[0]!, view.strides[1]!]
      return [7, B, T, step.heads, width / step.heads, ...two(step.x), ...two(step.cos), ...two(step.sin), ...at(step.out)]
    }
    case 'reduce': {
      const { from, out } = step
      const of = (summed: boolean) => {
        const chosen = from.dims.flatMap((_, axis) =>
          (out.strides[axis] === 0 && from.dims[axis]! > 1) === summed ? [axis] : [],
        )
        const pick = (list: readonly number[]) => chosen.map((axis) => list[axis]!)
        const { dims, strides } = collapsed(pick(from.dims), pick(from.strides), pick(out.strides))
        return axes(dims, strides)
      }
      return [8, ...at(from), ...at(out), ...of(false), ...of(true)]
    }
    case 'sumSquares':
      return [9, ...at(step.from), ...at(step.out), sizeOf(step.from.dims)]
  }
}

/** One axis at least. */
function axes(dims: readonly number[], [from, to]: readonly (readonly number[])[]): number[] {
  if (dims.length === 0) return [1, 1, 1, 1]
  return [dims.length, ...dims.flatMap((dim, axis) => [dim, from![axis]!, to![axis]!])]
}

function encodeProduct({ a, b, bias, c, alpha }: Extract<Step, { kind: 'product' }>, at: (view: View) => number[]): number[] {
  const views = bias ? [a, b, c, bias] : [a, b, c]
  const batchOf = (list: readonly number[]) => list.slice(0, -2)
  const batch = collapsed(batchOf(c.dims), ...views.map((view) => batchOf(view.strides)))
  let [M, N] = c.dims.slice(-2) as [number, number]
  const K = a.dims.at(-1)!
  // A batch that shares its second matrix is one taller matrix, where rows lie behind each other.
  const rowsBehind = (i: number) => batch.strides[i]!.at(-1) === views[i]!.strides.at(-2)! * M
  if (batch.dims.length > 0 && batch.strides[1]!.at(-1) === 0 && rowsBehind(0) && rowsBehind(2) && (!bias || rowsBehind(3))) {
    M *= batch.dims.pop()!
    for (const strides of batch.strides) strides.pop()
  }
  const matrices = views.flatMap((view, i) => [...at(view), view.strides.at(-2)!, view.strides.at(-1)!, ...batch.strides[i]!])
  return [0, M, N, K, alpha, batch.dims.length, ...batch.dims, bias ? 1 : 0, ...matrices]
}

const loads = { full: 0, row: 1, columns: 2 } as const

function encodeRowKernel(kernel: RowKernel, place: PlaceOf): number[] {
  const numbers = new Map<Register, number>()
  const operand = (o: Operand): number[] =>
    isRegister(o) ? [0, numbers.get(o)!] : 'value' in o ? [1, o.value] : [2, ...place(o.storage, o.offset)]
  const registers = kernel.registers.flatMap((register, i) => {
    const { from, storage } = register
    const made =
      from.op === 'load'
        ? [
            loads[from.what],
            ...place(from.storage, from.offset),
            from.dims.length,
            ...from.dims.flatMap((dim, axis) => [dim, from.strides[axis]!]),
          ]
        : [3, operations.indexOf(from.op), ...operand(from.a), ...(from.b ? [1, ...operand(from.b)] : [0])]
    numbers.set(register, i)
    return [...made, ...(storage ? [1, ...place(storage)] : [0])]
  })
  const sums = kernel.columnSums.flatMap(({ a, sums }) => [numbers.get(a as Register)!, ...place(sums!)])
  return [1, kernel.rows, kernel.columns, kernel.registers.length, ...registers, kernel.columnSums.length, ...sums]
}
