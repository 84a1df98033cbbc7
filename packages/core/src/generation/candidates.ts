/**
 * The tokens that may be drawn, and their weights: temperature, then top-k, top-p and min-p, each on what the one before
 * left over. Order and definitions are those of transformers' warpers (generation/logits_process.py):
 *   top-k  every token whose score is at least the k-th largest; ties with it stay, so more than k may remain
 *   top-p  the smallest set, most likely first, whose probability reaches p; at least one. Between equals the lower id goes first
 *   min-p  every token at least minP times as likely as the likeliest
 *
 * Nothing here is sorted in full. Top-k keeps a heap of k values during one pass; top-p sums weights by size, and partitions those
 * that may be wanted, as quickselect does.
 * Arrays of size V are allocated once and reused; without top-p and min-p they are not needed, and not written.
 */

export interface CandidateOptions {
  /** Greater than 0. */
  readonly temperature: number
  /** At least 1; absent: all tokens. */
  readonly topK?: number
  /** In (0, 1]; absent: 1. */
  readonly topP?: number
  /** In [0, 1]; absent: 0. */
  readonly minP?: number
}

const fractionBits = 10
/** 2^(i / 1024) */
const fractions = Float64Array.from({ length: 2 ** fractionBits }, (_, i) => 2 ** (i / 2 ** fractionBits))
/** 2^-1100, which is 0, to 1. */
const powers = Float64Array.from({ length: 1101 }, (_, i) => 2 ** (i - 1100))

/** Weights between one 16th of a power of two and the next are of one size. */
const sizeBits = fractionBits - 4

/** So many candidates are partitioned in no time. */
const few = 1024

/** Tokens whose weights are summed together where none is kept. */
const blockTokens = 512

/**
 * 2^(y / 1024 - 1100), y >= 0: its whole part and the upper bits of its fraction by tables, the rest by a polynomial. Within 1e-12 of
 * Math.exp in a third of the time, which counts: a vocabulary for each token.
 */
function exponential(y: number): number {
  const step = y | 0
  const rest = ((y - step) * Math.LN2) / fractions.length
  const power = powers[step >> fractionBits]! * fractions[step & (fractions.length - 1)]!
  return power * (1 + rest * (1 + rest * (1 / 2 + rest / 6)))
}

/** exp((score - max) / temperature) of a score of at least `least` is exponential((score - max) * scale + offset). */
function scaling(max: number, temperature: number, lowest: number) {
  // 0 times it is no NaN.
  const scale = Math.min(fractions.length / (Math.LN2 * temperature), Number.MAX_VALUE)
  const offset = (powers.length - 1) * fractions.length
  // Below are weights that a double cannot hold; -Infinity, of banned tokens, is one of them.
  return { scale, offset, least: Math.max(lowest, max - offset / scale) }
}

type Scales = ReturnType<typeof scaling>

/** The first `count` entries are valid, in no particular order, until the next `select`. Probability = weight / total. */
export class Candidates {
  readonly ids: Uint32Array
  readonly weights: Float64Array
  count = 0
  total = 0
  #largest = new Float32Array(0)
  readonly #sums: Float64Array
  #bySize = new Float64Array(0)

  constructor(vocabSize: number) {
    this.ids = new Uint32Array(vocabSize)
    this.weights = new Float64Array(vocabSize)
    this.#sums = new Float64Array(Math.ceil(vocabSize / blockTokens))
  }

  /** The token at share `u` in [0, 1) of the candidates' weight. Parameters as of `select`. */
  draw(scores: Float32Array, max: number, options: CandidateOptions, u: number): number {
    if ((options.topP ?? 1) < 1 || (options.minP ?? 0) > 0) {
      this.select(scores, max, options)
      return this.pick(u)
    }
    const { temperature, topK = scores.length } = options
    const kth = topK < scores.length ? this.#kthLargest(scores, topK) : -Infinity
    return this.#drawByBlocks(scores, max, scaling(max, temperature, kth), u)
  }

  /** @param scores [V], -Infinity for banned tokens @param max their maximum, which must be finite */
  select(scores: Float32Array, max: number, { temperature, topK = scores.length, topP = 1, minP = 0 }: CandidateOptions): void {
    const kth = topK < scores.length ? this.#kthLargest(scores, topK) : -Infinity
    const scales = scaling(max, temperature, kth)
    if (topP < 1 && topK > few) {
      const { mass, least } = this.#massAndFloor(scores, max, scales, topP)
      this.#weigh(scores, max, scales, least)
      this.#keepNucleus(mass)
    } else {
      this.#weigh(scores, max, scales, 0)
      if (topP < 1) this.#keepNucleus(topP * this.total)
    }
    if (minP > 0) this.#keepAtLeast(minP) // the likeliest token weighs exp(0) = 1
  }

  /** The token at share `u` in [0, 1) of the total weight. */
  pick(u: number): number {
    let rest = u * this.total
    for (let i = 0; i < this.count; i++) {
      rest -= this.weights[i]!
      if (rest < 0) return this.ids[i]!
    }
    // Rounding can leave a crumb of `rest`; it belongs to the last token that has any weight.
    let last = this.count - 1
    while (last > 0 && this.weights[last] === 0) last--
    return this.ids[last]!
  }

  /** @param leastY as exponential() takes it: of the least weight that is wanted */
  #weigh(scores: Float32Array, max: number, { scale, offset, least }: Scales, leastY: number): void {
    const { ids, weights } = this
    let [count, total] = [0, 0]
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!
      if (!(score >= least)) continue
      const y = (score - max) * scale + offset
      if (y < leastY) continue
      const weight = exponential(y)
      ids[count] = id
      weights[count++] = weight
      total += weight
    }
    this.count = count
    this.total = total
  }

  /** Keeps sums of blocks only, and works out the weights of the one block that is drawn from once more. */
  #drawByBlocks(scores: Float32Array, max: number, { scale, offset, least }: Scales, u: number): number {
    const sums = this.#sums
    let total = 0
    for (let block = 0, id = 0; id < scores.length; block++) {
      let sum = 0
      for (const end = Math.min(id + blockTokens, scores.length); id < end; id++) {
        const score = scores[id]!
        if (score >= least) sum += exponential((score - max) * scale + offset)
      }
      sums[block] = sum
      total += sum
    }
    let rest = u * total
    // Rounding can leave a crumb of `rest`; it belongs to the last token that has any weight.
    let last = sums.length - 1
    while (sums[last] === 0) last--
    let block = 0
    while (block < last && rest >= sums[block]!) rest -= sums[block++]!
    let drawn = -1
    for (let id = block * blockTokens; id < Math.min((block + 1) * blockTokens, scores.length); id++) {
      const score = scores[id]!
      const weight = score >= least ? exponential((score - max) * scale + offset) : 0
      if (weight === 0) continue
      drawn = id
      rest -= weight
      if (rest < 0) break
    }
    return drawn
  }

  #add(id: number, weight: number): void {
    this.ids[this.count] = id
    this.weights[this.count++] = weight
    this.total += weight
  }

  #keepAtLeast(threshold: number): void {
    const { ids, weights, count } = this
    this.count = 0
    this.total = 0
    for (let i = 0; i < count; i++) if (weights[i]! >= threshold) this.#add(ids[i]!, weights[i]!)
  }

  /** `mass`: topP of all weight. `least`: of the least weight that may be needed for it, as exponential() takes it. */
  #massAndFloor(
    scores: Float32Array,
    max: number,
    { scale, offset, least }: Scales,
    topP: number,
  ): { mass: number; least: number } {
    if (this.#bySize.length === 0) this.#bySize = new Float64Array(((powers.length * fractions.length) >> sizeBits) + 1)
    const bySize = this.#bySize.fill(0)
    let total = 0
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!
      if (!(score >= least)) continue
      const y = (score - max) * scale + offset
      const weight = exponential(y)
      bySize[y >> sizeBits]! += weight
      total += weight
    }
    const mass = topP * total
    let size = bySize.length - 1
    // More than enough, as sums are rounded.
    for (let sum = bySize[size]!; size > 0 && sum <= mass * (1 + 1e-9); sum += bySize[size]!) size--
    return { mass, least: size << sizeBits }
  }

  /** Quickselect by weight: narrows [start, end) down to where the likeliest tokens before it reach the mass wanted. */
  #keepNucleus(mass: number): void {
    let missing = mass
    let start = 0
    let end = this.count
    while (end - start > 1) {
      const { split, mass: before } = this.#partition(start, end)
      if (before >= missing) end = split
      else {
        missing -= before
        start = split
      }
    }
    this.count = end
    this.total = 0
    for (let i = 0; i < end; i++) this.total += this.weights[i]!
  }

  /** Moves tokens of [start, end) that come before a pivot to the front; `mass` is their weight. Both sides are not empty. */
  #partition(start: number, end: number): { split: number; mass: number } {
    this.#swap((start + end) >> 1, end - 1) // the pivot
    let split = start
    let mass = 0
    for (let i = start; i < end - 1; i++) {
      if (!this.#before(i, end - 1)) continue
      mass += this.weights[i]!
      this.#swap(i, split++)
    }
    this.#swap(split, end - 1)
    if (split > start) return { split, mass }
    return { split: split + 1, mass: this.weights[split]! } // the pivot is the likeliest itself
  }

  #before(a: number, b: number): boolean {
    const difference = this.weights[a]! - this.weights[b]!
    return difference > 0 || (difference === 0 && this.ids[a]! < this.ids[b]!)
  }

  #swap(a: number, b: number): void {
    const id = this.ids[a]!
    const weight = this.weights[a]!
    this.ids[a] = this.ids[b]!
    this.weights[a] = this.weights[b]!
    this.ids[b] = id
    this.weights[b] = weight
  }

  /** The k-th largest score by a heap of the k largest so far, its smallest on top. Mostly one comparison a token. */
  #kthLargest(scores: Float32Array, k: number): number {
    if (this.#largest.length !== k) this.#largest = new Float32Array(k)
    const heap = this.#largest.fill(-Infinity)
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!
      if (score <= heap[0]!) continue
      let parent = 0
      for (let child = 1; child < k; child = 2 * parent + 1) {
        if (child + 1 < k && heap[child + 1]! < heap[child]!) child++
        if (heap[child]! >= score) break
        heap[parent] = heap[child]!
        parent = child
      }
      heap[parent] = score
    }
    return heap[0]!
  }
}
