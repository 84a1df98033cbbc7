/**
 * Learns byte-pair merges from counted words: again and again the most frequent pair of neighbours becomes a token.
 * Counts are kept up to date from the words that a merge touches, so that each merge costs what it changes.
 *
 * The result is that of the Rust reference (huggingface/tokenizers, `BpeTrainer`, min_frequency and the whole alphabet
 * given), including how it breaks ties: of equally frequent pairs the one with the smallest ids wins. Its queue is lazy: a
 * candidate that has become rarer goes back with its present count when its turn comes. And where two ways of merging spell
 * the same token, the token is made once, and the pairs around it are queued once more.
 */
import { createMergeQueue, leftOf, type PairKey, pairKey, rightOf } from './queue.ts'

export interface CountedWord {
  /** Ids of the word's bytes. */
  readonly ids: readonly number[]
  readonly count: number
}

export interface Merges {
  /** All tokens in order of id, beginning with the given ones. */
  readonly tokens: readonly string[]
  readonly merges: readonly (readonly [string, string])[]
}

export interface MergeLimits {
  readonly vocabSize: number
  /** Pairs that occur less often are not merged. */
  readonly minFrequency: number
}

/** @param alphabet spellings of the ids that words consist of */
export function learnMerges(words: readonly CountedWord[], alphabet: readonly string[], limits: MergeLimits): Merges {
  const tokens = [...alphabet]
  const idOf = new Map(tokens.map((token, id) => [token, id]))
  const merges = new Map<PairKey, readonly [string, string]>()
  const spelled: Int32Array[] = words.map((word) => Int32Array.from(word.ids))
  const counts = new Map<PairKey, number>()
  const queue = createMergeQueue()
  let touched = new Map<PairKey, number[]>()

  function add(pair: PairKey, change: number, word: number): void {
    counts.set(pair, (counts.get(pair) ?? 0) + change * words[word]!.count)
    if (change < 0) return
    const places = touched.get(pair)
    if (!places) touched.set(pair, [word])
    else if (places.at(-1) !== word) places.push(word) // words come in order
  }

  function enqueueTouched(): void {
    for (const [pair, places] of touched) {
      const count = counts.get(pair)!
      if (count > 0) queue.push({ pair, count, words: places })
    }
    touched = new Map()
  }

  spelled.forEach((ids, word) => {
    for (let i = 1; i < ids.length; i++) add(pairKey(ids[i - 1]!, ids[i]!), 1, word)
  })
  enqueueTouched()

  while (tokens.length < limits.vocabSize) {
    const best = queue.pop()
    if (!best) break
    const count = counts.get(best.pair)!
    if (best.count !== count) {
      best.count = count
      queue.push(best)
      continue
    }
    if (count < Math.max(1, limits.minFrequency)) break
    const [left, right] = [tokens[leftOf(best.pair)]!, tokens[rightOf(best.pair)]!]
    const id = idOf.get(left + right) ?? tokens.length
    if (id === tokens.length) idOf.set(tokens[tokens.push(left + right) - 1]!, id)
    // A pair may come again around a token that was made in two ways; the later place is the one that counts.
    merges.delete(best.pair)
    merges.set(best.pair, [left, right])
    for (const word of best.words) {
      spelled[word] = mergePair(spelled[word]!, best.pair, id, (pair, change) => add(pair, change, word))
    }
    enqueueTouched()
  }
  return { tokens, merges: [...merges.values()] }
}

/** Replaces a pair everywhere in a word, from left to right, and reports which pairs of neighbours came and went. */
function mergePair(ids: Int32Array, pair: PairKey, merged: number, report: (pair: PairKey, change: 1 | -1) => void): Int32Array {
  const [left, right] = [leftOf(pair), rightOf(pair)]
  let length = 0 // of what is written back into `ids`
  for (let i = 0; i < ids.length; i++, length++) {
    if (ids[i] !== left || ids[i + 1] !== right) {
      ids[length] = ids[i]!
      continue
    }
    if (length > 0) {
      report(pairKey(ids[length - 1]!, left), -1)
      report(pairKey(ids[length - 1]!, merged), 1)
    }
    if (i + 2 < ids.length) {
      report(pairKey(right, ids[i + 2]!), -1)
      report(pairKey(merged, ids[i + 2]!), 1)
    }
    ids[length] = merged
    i++
  }
  return ids.subarray(0, length)
}
