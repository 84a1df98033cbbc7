/**
 * Sequences of finished requests. Their rows stay in the engine's cache, so that a prompt that begins alike is not computed again.
 * What is kept is bounded in bytes, oldest use goes first.
 */
import type { Engine } from './engine.ts'
import type { Sequence } from './sequence.ts'

/** Fewer tokens than this are computed sooner than rows are copied. */
export const leastShared = 8
/** Memory comes in pages of so many positions. */
const pagePositions = 64

/** Used within the engine's turn only, as the engine itself. */
export class PrefixCache {
  readonly #engine: Engine
  readonly #maxBytes: number
  /** Longest unused first. */
  #kept: Sequence[] = []

  /** @param maxBytes of keys and values; 0: nothing is kept */
  constructor(engine: Engine, maxBytes: number) {
    this.#engine = engine
    this.#maxBytes = maxBytes
  }

  /** What all that is kept may take: copies that share memory count as if they did not. */
  get bytes(): number {
    return this.#bytesOf(this.#kept)
  }

  get count(): number {
    return this.#kept.length
  }

  /**
   * The kept sequence of P streams that shares most with `ids`, or a copy of it where it goes on otherwise: the caller's own, with
   * `shared` tokens that need not be computed, at most `most`. Undefined where too little is shared.
   */
  take(ids: readonly number[], p: number, most: number): { sequence: Sequence; shared: number } | undefined {
    let [best, shared] = [undefined as Sequence | undefined, leastShared - 1]
    for (const sequence of this.#kept) {
      if (sequence.p !== p) continue
      const common = Math.min(commonPrefix(sequence.ids, ids), most)
      if (common > shared) [best, shared] = [sequence, common]
    }
    if (!best) return undefined
    this.#kept = this.#kept.filter((sequence) => sequence !== best)
    if (best.length <= shared + 1) return { sequence: best, shared }
    this.#kept.push(best)
    return { sequence: this.#engine.fork(best, 1)[0]!, shared }
  }

  /** Takes a sequence over, and closes what there is no room for. */
  keep(sequence: Sequence): void {
    const { ids, p } = sequence
    const longer = this.#kept.findIndex((other) => other.p === p && commonPrefix(other.ids, ids) === ids.length)
    if (longer >= 0) {
      this.#engine.close(sequence)
      this.#kept.push(...this.#kept.splice(longer, 1))
      return
    }
    const isPart = (other: Sequence) => other.p === p && commonPrefix(other.ids, ids) === other.length
    for (const other of this.#kept) if (isPart(other)) this.#engine.close(other)
    this.#kept = [...this.#kept.filter((other) => other.rows.length > 0), sequence]
    while (this.bytes > this.#maxBytes) this.#engine.close(this.#kept.shift()!)
  }

  clear(): void {
    for (const sequence of this.#kept.splice(0)) this.#engine.close(sequence)
  }

  /** Where lengths do not mix, every row has room for the longest. */
  #bytesOf(kept: readonly Sequence[]): number {
    const { decoder } = this.#engine.model
    let [rows, positions, longest] = [0, 0, 0]
    for (const sequence of kept) {
      const room = Math.ceil(sequence.positions / pagePositions) * pagePositions
      rows += sequence.p
      positions += sequence.p * room
      longest = Math.max(longest, room)
    }
    return (decoder.ragged ? positions : rows * longest) * this.#engine.positionBytes
  }
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let n = 0
  while (n < a.length && n < b.length && a[n] === b[n]) n++
  return n
}
