/**
 * Several processes that take a step together, each on some of its passes. How they reach each other is not said here (Open MPI:
 * parscale/src/train/workers). What they tell each other is small, or sums of gradients and parameters (parallel-step.ts).
 */

export type Message = Float32Array | Float64Array | Uint8Array

/** This process among the others. Calls of the same kind come in the same order on all of them. */
export interface Workers {
  /** From 0. The first one writes and speaks. */
  readonly rank: number
  readonly size: number
  /** Messages of one tag between two workers arrive in their order. Resolves when the array may be written again. */
  send(to: number, tag: number, message: Message): Promise<void>
  /** Fills the array, which has the length of what is sent. */
  receive(from: number, tag: number, into: Message): Promise<void>
  /** While true, the engine needs this thread's core, and what is under way may wait some milliseconds. */
  computing?(is: boolean): void
}

/** One process alone. */
export const alone: Workers = {
  rank: 0,
  size: 1,
  send: () => Promise.reject(new Error('there is no other worker')),
  receive: () => Promise.reject(new Error('there is no other worker')),
}

/** Below these lie the numbers of pieces of gradients. */
const firstTag = 1 << 24
export const tags = {
  lengths: firstTag,
  bytes: firstTag + 1,
  figures: firstTag + 2,
  parameters: firstTag + 3,
  moments: firstTag + 4,
  agreement: firstTag + 5,
} as const

const others = ({ rank, size }: Workers): number[] => Array.from({ length: size }, (_, i) => i).filter((other) => other !== rank)

/** What each worker has, in their order. @param lengths of each worker's numbers, which all know */
export async function gatherFigures(
  workers: Workers,
  own: Float64Array,
  lengths: readonly number[],
  tag: number = tags.figures,
): Promise<Float64Array[]> {
  const all = lengths.map((length, rank) => (rank === workers.rank ? own : new Float64Array(length)))
  await Promise.all(others(workers).flatMap((other) => [workers.receive(other, tag, all[other]!), workers.send(other, tag, own)]))
  return all
}

/** The largest of what the workers say, field by field: they decide alike, at the same point. */
export async function agree(workers: Workers, own: readonly number[]): Promise<number[]> {
  if (workers.size === 1) return [...own]
  const all = await gatherFigures(
    workers,
    Float64Array.from(own),
    new Array<number>(workers.size).fill(own.length),
    tags.agreement,
  )
  return own.map((_, i) => Math.max(...all.map((figures) => figures[i]!)))
}

/** Returns when all have come here. */
export const meet = async (workers: Workers): Promise<void> => void (await agree(workers, [0]))

/** A JSON value of each worker, in their order. */
export async function gatherValues(workers: Workers, own: unknown): Promise<unknown[]> {
  const bytes = new TextEncoder().encode(JSON.stringify(own))
  const one = new Array<number>(workers.size).fill(1)
  const lengths = (await gatherFigures(workers, Float64Array.of(bytes.length), one, tags.lengths)).map(([length]) => length!)
  const all = lengths.map((length, rank) => (rank === workers.rank ? bytes : new Uint8Array(length)))
  await Promise.all(
    others(workers).flatMap((other) => [workers.receive(other, tags.bytes, all[other]!), workers.send(other, tags.bytes, bytes)]),
  )
  return all.map((each) => JSON.parse(new TextDecoder().decode(each)) as unknown)
}

/** The first worker's JSON value. @param value taken of the first only */
export const firstsValue = async (workers: Workers, value: unknown): Promise<unknown> =>
  (await gatherValues(workers, workers.rank === 0 ? value : null))[0]

/** The first worker's numbers, written into everybody's array. */
export async function spreadFromFirst(workers: Workers, array: Float32Array): Promise<void> {
  if (workers.rank > 0) return await workers.receive(0, tags.bytes, array)
  await Promise.all(others(workers).map((other) => workers.send(other, tags.bytes, array)))
}
