/**
 * Which tokens make a sequence of T + 1: T are read, and each predicts the one after it. Neighbouring sequences share one
 * token, the last of one being the first of the next; so every token is predicted once, except those that begin.
 */
import { usageError } from '../../errors.ts'

/** How documents become sequences. */
export type Packing =
  /** One after the other without gaps, cut every T tokens. What is left over at the end is dropped. */
  | 'stream'
  /** As `stream`, with the rest as a shorter sequence. */
  | 'streamWithRest'
  /** Each document begins a sequence of its own; long ones take several. None is dropped, shorter ones are padded. */
  | 'document'

export interface TokenRange {
  readonly start: number
  /** From 2 to T + 1 tokens. */
  readonly length: number
}

export interface PackedSequences {
  readonly count: number
  /** @param index from 0 to count - 1 */
  range(index: number): TokenRange
}

/**
 * @param ends where each document ends, in tokens
 * @param tokens T, tokens read in a sequence
 */
export function packSequences(ends: Float64Array, tokens: number, packing: Packing): PackedSequences {
  if (!(Number.isInteger(tokens) && tokens >= 1)) {
    throw usageError(`tokens: expected a sequence length of at least 1, got ${tokens}`, { flag: 'tokens', found: tokens })
  }
  return packing === 'document' ? packDocuments(ends, tokens) : packStream(ends.at(-1) ?? 0, tokens, packing !== 'stream')
}

function packStream(total: number, tokens: number, withRest: boolean): PackedSequences {
  const predicted = Math.max(0, total - 1)
  return {
    count: withRest ? Math.ceil(predicted / tokens) : Math.floor(predicted / tokens),
    range: (index) => rangeAt(0, total, index, tokens),
  }
}

function packDocuments(ends: Float64Array, tokens: number): PackedSequences {
  let count = 0
  const sequencesUpTo = ends.map((end, d) => {
    count += Math.ceil((end - (ends[d - 1] ?? 0) - 1) / tokens)
    return count
  })
  return {
    count,
    range(index) {
      const d = firstAbove(sequencesUpTo, index)
      return rangeAt(ends[d - 1] ?? 0, ends[d]!, index - (sequencesUpTo[d - 1] ?? 0), tokens)
    },
  }
}

function rangeAt(begin: number, end: number, index: number, tokens: number): TokenRange {
  const start = begin + index * tokens
  return { start, length: Math.min(tokens + 1, end - start) }
}

/** The first place in rising numbers that holds more than `value`, by halving. */
export function firstAbove(rising: Float64Array, value: number): number {
  let [low, high] = [0, rising.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (rising[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}
