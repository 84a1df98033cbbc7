/** Candidates for the next merge, the best first: a binary heap. */

/** Two neighbouring tokens as one number, so that maps and comparisons are cheap: order is that of (left, right). */
export type PairKey = number

const idLimit = 2 ** 24

export const pairKey = (left: number, right: number): PairKey => left * idLimit + right
export const leftOf = (pair: PairKey): number => Math.floor(pair / idLimit)
export const rightOf = (pair: PairKey): number => pair % idLimit

export interface Candidate {
  readonly pair: PairKey
  /** How often the pair occurred when the candidate was queued. It may have become rarer since. */
  count: number
  /** Numbers of the words to look at. */
  readonly words: readonly number[]
}

export interface MergeQueue {
  push(candidate: Candidate): void
  /** The most frequent pair; of equally frequent ones the one whose left, then right token is older. */
  pop(): Candidate | undefined
}

export function createMergeQueue(): MergeQueue {
  const heap: Candidate[] = []
  const goesBefore = (a: Candidate, b: Candidate): boolean => (a.count === b.count ? a.pair < b.pair : a.count > b.count)

  function siftDown(moved: Candidate): void {
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && goesBefore(heap[child + 1]!, heap[child]!)) child++
      if (!goesBefore(heap[child]!, moved)) break
      heap[hole] = heap[child]!
      hole = child
    }
    heap[hole] = moved
  }

  return {
    push(candidate) {
      let hole = heap.length
      for (; hole > 0; hole = (hole - 1) >> 1) {
        const parent = heap[(hole - 1) >> 1]!
        if (!goesBefore(candidate, parent)) break
        heap[hole] = parent
      }
      heap[hole] = candidate
    },
    pop() {
      const best = heap[0]
      const last = heap.pop()
      if (heap.length > 0) siftDown(last!)
      return best
    },
  }
}
