/**
 * Byte-pair encoding of one word, as huggingface/tokenizers merges it (tokenizers/src/models/bpe): of all pairs the one
 * with the smallest rank merges first, the leftmost of those; a heap keeps a word of n characters at n log n.
 */
import { checkpointError } from '../errors.ts'
import type { BpeModel } from './tokenizer-json.ts'

/** Words whose ids are kept. When there are more, keeping starts anew: frequent ones are soon back. */
const maxWords = 2 ** 14
/** Longer words seldom come again. */
const maxWordLength = 256
/** Ids are below 2^24, so a pair is one exact number. */
const idRange = 2 ** 24
/** Positions in a word are below 2^27 and ranks below 2^26, so an entry of the heap is one exact number. */
const positionRange = 2 ** 27
/** Merges after which a long word lets others have their turn. */
const mergesPerTurn = 2 ** 16

export interface Bpe {
  /** Ids of a word; yields now and then while a long one is merged. */
  encode(word: string): Generator<void, readonly number[]>
  /** Ids of a word that is known. */
  known(word: string): readonly number[] | undefined
  /** Ids of the word's characters, of which nothing is merged. */
  characters(word: string): number[]
}

/**
 * @param spell how the model writes a word (byte-level models write its bytes)
 * @param revise what is made of a word's ids before they are kept
 * @throws checkpoint error for merges or an unknown token that the vocabulary does not have
 */
export function createBpe(
  model: BpeModel,
  spell: (word: string) => string,
  revise: (ids: number[]) => number[],
  file: string,
): Bpe {
  const { vocab, unkToken } = model
  const { ranks, merged } = readMerges(model, file)
  const unknown = unkToken === undefined ? undefined : vocab.get(unkToken)
  if (unkToken !== undefined && unknown === undefined) {
    throw checkpointError(`${file}: model.unk_token ${JSON.stringify(unkToken)} is not in model.vocab`, { file })
  }
  const byteIds = Array.from({ length: 256 }, (_, byte) => vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
  let words = new Map<string, readonly number[]>()

  /** The ids of a word's characters. */
  function characters(word: string): number[] {
    const ids: number[] = []
    let waiting: number | undefined
    for (const character of word) {
      const id = vocab.get(character)
      if (id !== undefined) {
        if (waiting !== undefined) ids.push(waiting)
        waiting = undefined
        ids.push(id)
        continue
      }
      const bytes = model.byteFallback ? fallback(character) : undefined
      if (bytes) for (const byte of bytes) ids.push(byte)
      else if (unknown !== undefined) {
        if (waiting !== undefined && !model.fuseUnk) ids.push(waiting)
        waiting = unknown
      }
    }
    if (waiting !== undefined) ids.push(waiting)
    return ids
  }

  function fallback(character: string): number[] | undefined {
    const ids: number[] = []
    for (const byte of utf8.encode(character)) {
      const id = byteIds[byte]
      if (id === undefined) return undefined
      ids.push(id)
    }
    return ids
  }

  function* encode(word: string): Generator<void, readonly number[]> {
    const found = words.get(word)
    if (found) return found
    const spelled = spell(word)
    const whole = model.ignoreMerges ? vocab.get(spelled) : undefined
    const ids = revise(whole === undefined ? yield* merge(characters(spelled), ranks, merged) : [whole])
    if (word.length <= maxWordLength) {
      if (words.size >= maxWords) words = new Map()
      words.set(word, ids)
    }
    return ids
  }

  return { encode, known: (word) => words.get(word), characters }
}

const utf8 = new TextEncoder()

function readMerges({ vocab, merges }: BpeModel, file: string) {
  const ranks = new Map<number, number>()
  const merged = new Int32Array(merges.length)
  for (let rank = 0; rank < merges.length; rank++) {
    const [left, right] = merges[rank]!
    const first = vocab.get(left)
    const second = vocab.get(right)
    const both = vocab.get(left + right)
    if (first === undefined || second === undefined || both === undefined) {
      const missing = first === undefined ? left : second === undefined ? right : left + right
      throw checkpointError(`${file}: model.merges.${rank} needs ${JSON.stringify(missing)}, which model.vocab does not have`, {
        file,
      })
    }
    merged[rank] = both
    ranks.set(first * idRange + second, rank)
  }
  return { ranks, merged }
}

function* merge(ids: number[], ranks: ReadonlyMap<number, number>, merged: Int32Array): Generator<void, number[]> {
  const count = ids.length
  if (count < 2) return ids
  const next = new Int32Array(count)
  const previous = new Int32Array(count)
  const gone = new Uint8Array(count)
  const heap: number[] = []
  const consider = (at: number): void => {
    const rank = ranks.get(ids[at]! * idRange + ids[next[at]!]!)
    if (rank !== undefined) pushHeap(heap, rank * positionRange + at)
  }
  for (let i = 0; i < count; i++) {
    next[i] = i + 1
    previous[i] = i - 1
  }
  for (let i = 0; i + 1 < count; i++) consider(i)
  for (let turn = 1; heap.length > 0; turn++) {
    if (turn % mergesPerTurn === 0) yield
    const entry = popHeap(heap)
    const at = entry % positionRange
    const right = next[at]!
    if (gone[at] || right === count) continue
    // An entry may be out of date; the reference asks only whether the pair at its position makes the same token.
    const id = merged[Math.floor(entry / positionRange)]!
    const rank = ranks.get(ids[at]! * idRange + ids[right]!)
    if (rank === undefined || merged[rank] !== id) continue
    ids[at] = id
    gone[right] = 1
    const after = next[right]!
    next[at] = after
    if (after < count) previous[after] = at
    if (previous[at]! >= 0) consider(previous[at]!)
    if (after < count) consider(at)
  }
  return ids.filter((_, i) => gone[i] === 0)
}

function pushHeap(heap: number[], entry: number): void {
  let at = heap.push(entry) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]! <= entry) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = entry
}

function popHeap(heap: number[]): number {
  const top = heap[0]!
  const entry = heap.pop()!
  const count = heap.length
  if (count === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= count) break
    if (child + 1 < count && heap[child + 1]! < heap[child]!) child++
    if (heap[child]! >= entry) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = entry
  return top
}
