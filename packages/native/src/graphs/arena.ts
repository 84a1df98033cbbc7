/** Places for what lives only within a run: two storages share memory when one is done with before the other begins. */

import { isRegister, type Operand, type Register, RowKernel } from './row-kernel.ts'
import type { Step } from './steps.ts'
import type { Storage, View } from './view.ts'

export interface Arena {
  /** Of each storage that is not given, in bytes. */
  readonly offsets: ReadonlyMap<Storage, number>
  readonly bytes: number
}

export const bytesOf = ({ dtype, elements }: Storage): number => elements * (dtype === 'int64' ? 8 : 4)

/** Cache lines, and whole registers. */
const alignment = 64

/** The storages that a step reads, and those that it writes. */
export function storagesOf(step: Step): { reads: Storage[]; writes: Storage[] } {
  const of = (...views: (View | undefined)[]) => views.flatMap((view) => view?.storage ?? [])
  switch (step.kind) {
    case 'product':
      return { reads: of(step.a, step.b, step.bias), writes: of(step.c) }
    case 'copy':
    case 'reduce':
    case 'sumSquares':
      return { reads: of(step.from), writes: of('to' in step ? step.to : step.out) }
    case 'gatherRows':
    case 'gatherElements':
      return { reads: of(step.data, step.indices), writes: of(step.out) }
    case 'scatterAddRows':
    case 'scatterAddElements':
      return { reads: of(step.indices, step.updates), writes: of(step.onto) }
    case 'rotation':
      return { reads: of(step.x, step.cos, step.sin), writes: of(step.out) }
    case 'rows':
      return {
        reads: kernelReads(step),
        writes: [...step.registers.flatMap(({ storage }) => storage ?? []), ...step.columnSums.map(({ sums }) => sums!)],
      }
  }
}

function kernelReads(kernel: RowKernel): Storage[] {
  const ofOperand = (operand: Operand | undefined) =>
    operand && !isRegister(operand) && 'storage' in operand ? [operand.storage] : []
  return [
    ...kernel.registers.flatMap(({ from }) =>
      from.op === 'load' ? [from.storage] : [...ofOperand(from.a), ...ofOperand(from.b)],
    ),
    ...kernel.columnSums.flatMap(({ a }) => ofOperand(a)),
  ]
}

/** Leaves out what nobody reads: registers kept in vain, then instructions, then steps. */
export function withoutUnread(steps: readonly Step[], outputs: readonly Storage[]): Step[] {
  const read = new Set(outputs)
  const kept: Step[] = []
  for (const step of steps.toReversed()) {
    if (step instanceof RowKernel) prune(step, read)
    const { reads, writes } = storagesOf(step)
    if (!writes.some((storage) => read.has(storage))) continue
    for (const storage of reads) read.add(storage)
    kept.push(step)
  }
  return kept.reverse()
}

function prune(kernel: RowKernel, read: ReadonlySet<Storage>): void {
  const needed = new Set<Register>()
  const need = (operand: Operand | undefined) => operand && isRegister(operand) && needed.add(operand)
  kernel.columnSums.splice(0, Infinity, ...kernel.columnSums.filter(({ sums }) => read.has(sums!)))
  for (const { a } of kernel.columnSums) need(a)
  for (const register of kernel.registers.toReversed()) {
    if (register.storage && read.has(register.storage)) needed.add(register)
    else delete register.storage
    if (!needed.has(register) || register.from.op === 'load') continue
    need(register.from.a)
    need(register.from.b)
  }
  kernel.registers.splice(0, Infinity, ...kernel.registers.filter((register) => needed.has(register)))
}

/** Large ones first, each at the lowest place that is free as long as it lives. */
export function planArena(steps: readonly Step[]): Arena {
  const lives = new Map<Storage, { first: number; last: number }>()
  for (const [i, step] of steps.entries()) {
    const { reads, writes } = storagesOf(step)
    for (const storage of [...reads, ...writes]) {
      if (storage.given) continue
      const life = lives.get(storage)
      if (life) life.last = i
      else lives.set(storage, { first: i, last: i })
    }
  }
  const sorted = [...lives].sort(([a], [b]) => bytesOf(b) - bytesOf(a))
  const placed: { first: number; last: number; from: number; to: number }[] = []
  const offsets = new Map<Storage, number>()
  let bytes = 0
  for (const [storage, { first, last }] of sorted) {
    const size = Math.ceil(bytesOf(storage) / alignment) * alignment
    const inTheWay = placed.filter((other) => other.first <= last && first <= other.last).sort((a, b) => a.from - b.from)
    let from = 0
    for (const other of inTheWay) {
      if (from + size <= other.from) break
      from = Math.max(from, other.to)
    }
    placed.push({ first, last, from, to: from + size })
    offsets.set(storage, from)
    bytes = Math.max(bytes, from + size)
  }
  return { offsets, bytes }
}
