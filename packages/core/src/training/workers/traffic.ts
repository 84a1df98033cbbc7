/** What workers send each other in one step, counted from the rules of parallel-step.ts: nothing has to be run. */
import { mostHeld } from '../run/step-cost.ts'
import { elementsOfPiece, type Layout, type Share, sharesOf, windowOf } from './pieces.ts'
import { leavesOf, partsOf } from './tree-sum.ts'

/** Messages of one kind, of one worker. */
export interface Sent {
  readonly messages: number
  readonly bytes: number
}

/** What one worker sends in a step. */
export interface WorkerTraffic {
  /** Partial sums, a message for each piece and part, to the pieces' owners. */
  readonly gradients: Sent
  /** Losses and squared norms, to all others. */
  readonly figures: Sent
  /** The own share, to all others. */
  readonly parameters: Sent
}

/** Messages of one kind, as the worker with the most of them sees them. */
export interface Flow {
  /** Sent and received. */
  readonly messages: number
  /** Sent or received, whichever is more: links carry both ways at once. */
  readonly bytes: number
  /** Times in a row that something crosses the link, one way. */
  readonly hops: number
}

export interface StepTraffic {
  readonly gradients: Flow
  readonly figures: Flow
  readonly parameters: Flow
  /** What `train` asks before each step: whether to stop, whether to save. */
  readonly agreement: Flow
  /** Of all workers: what a step sends, without the agreement before it. */
  readonly total: Sent
}

const float = 4
const double = 8
const questions = 2
/** Open MPI's TCP asks before it sends more than this (btl_tcp_eager_limit), in bytes: three ways in place of one. */
const eagerBytes = 1 << 16
const askedHops = 3

/** Of each worker. @param passes of a step, of all workers together */
export function trafficOfWorkers(layout: Layout, passes: number, workers: number): WorkerTraffic[] {
  const others = workers - 1
  const all = layout.pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  return sharesOf(layout, workers).map((share, rank) => {
    const leaves = leavesOf(rank, workers, passes)
    const parts = partsOf(leaves, passes).length
    const own = share.end - share.first
    return {
      gradients: {
        messages: parts * (layout.pieces.length - own),
        bytes: parts * (all - elementsOf(layout, share)) * float,
      },
      figures: { messages: others, bytes: others * (leaves.end - leaves.start + own) * double },
      parameters: { messages: own > 0 ? others : 0, bytes: others * (share.to - share.from) * float },
    }
  })
}

/**
 * Of the worker that has most to do with each kind.
 *
 * @param passes of a step, of all workers together: at least one for each
 */
export function stepTraffic(layout: Layout, passes: number, workers: number): StepTraffic {
  const sent = trafficOfWorkers(layout, passes, workers)
  const total = sent.flatMap(({ gradients, figures, parameters }) => [gradients, figures, parameters]).reduce(add, nothing)
  if (workers === 1) return { gradients: noFlow, figures: noFlow, parameters: noFlow, agreement: noFlow, total }
  const shares = sharesOf(layout, workers)
  const parts = shares.map((_, rank) => partsOf(leavesOf(rank, workers, passes), passes).length)
  const allParts = parts.reduce((sum, count) => sum + count, 0)
  const window = windowOf(workers)
  const largest = layout.pieces.reduce((most, { start, end }) => Math.max(most, end - start), 0) * float
  const gradients = shares.map((share, rank): Flow => {
    const own = share.end - share.first
    const theirParts = allParts - parts[rank]!
    const rounds = Math.ceil(own / window)
    return {
      messages: sent[rank]!.gradients.messages + own * theirParts,
      bytes: Math.max(sent[rank]!.gradients.bytes, elementsOf(layout, share) * theirParts * float),
      // A message that is waited for has asked already: to answer and to come takes two ways.
      hops: hopsOf(largest) === 1 ? 1 : askedHops + (askedHops - 1) * Math.max(0, rounds - 1),
    }
  })
  const gathered = (kind: 'figures' | 'parameters') => {
    const each = sent.map((worker) => worker[kind])
    const all = each.reduce(add, nothing)
    return each.map(({ messages, bytes }): Flow => {
      const [theirMessages, theirBytes] = [all.messages - messages, all.bytes - bytes].map((sum) => sum / (workers - 1))
      return { messages: messages + theirMessages!, bytes: Math.max(bytes, theirBytes!), hops: 1 }
    })
  }
  const largestOf = (kind: 'figures' | 'parameters') => Math.max(...sent.map((worker) => worker[kind].bytes)) / (workers - 1)
  return {
    gradients: busiest(gradients),
    figures: { ...busiest(gathered('figures')), hops: hopsOf(largestOf('figures')) },
    parameters: { ...busiest(gathered('parameters')), hops: hopsOf(largestOf('parameters')) },
    agreement: { messages: 2 * (workers - 1), bytes: (workers - 1) * questions * double, hops: 1 },
    total,
  }
}

/** Bytes that the worker with most of each holds for parameters, gradients, moments and sums of others; activations are not in it. */
export interface WorkerMemory {
  readonly parameters: number
  readonly gradients: number
  readonly moments: number
  readonly sums: number
  readonly total: number
}

export function workerMemory(layout: Layout, passes: number, workers: number): WorkerMemory {
  const parameters = layout.elements * float
  const gradients = parameters * mostHeld(Math.ceil(passes / workers))
  const shares = sharesOf(layout, workers)
  const moments = 2 * float * Math.max(...shares.map(({ from, to }) => to - from))
  const parts = shares.map((_, rank) => partsOf(leavesOf(rank, workers, passes), passes).length)
  const allParts = parts.reduce((sum, count) => sum + count, 0)
  const rooms = shares.map(({ first, end }, rank) => Math.min(windowOf(workers), end - first) * (allParts - parts[rank]!))
  const sums = Math.max(...rooms) * elementsOfPiece * float
  return { parameters, gradients, moments, sums, total: parameters + gradients + moments + sums }
}

const elementsOf = ({ pieces }: Layout, { first, end }: Share): number =>
  pieces.slice(first, end).reduce((sum, piece) => sum + piece.end - piece.start, 0)

const hopsOf = (bytes: number): number => (bytes > eagerBytes ? askedHops : 1)

const nothing: Sent = { messages: 0, bytes: 0 }
const noFlow: Flow = { messages: 0, bytes: 0, hops: 0 }
const add = (a: Sent, b: Sent): Sent => ({ messages: a.messages + b.messages, bytes: a.bytes + b.bytes })

const busiest = (flows: readonly Flow[]): Flow => ({
  messages: Math.max(...flows.map(({ messages }) => messages)),
  bytes: Math.max(...flows.map(({ bytes }) => bytes)),
  hops: Math.max(...flows.map(({ hops }) => hops)),
})
