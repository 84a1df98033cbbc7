/** From the backbone's hidden states to logits: which tokens are wanted, their streams aggregated, one product for all. */
import type { LogitsRoom, NormalisedLogits } from '../runtime/index.ts'
import type { Model, StreamSet } from './model.ts'
import type { StepResult, Work } from './sequence.ts'

/** How many of a piece of work's tokens are wanted: the last ones. */
export function wantedTokens({ want, ids }: Work): number {
  if (typeof want === 'number') return want
  return want === 'all' ? ids.length : want === 'last' ? 1 : 0
}

/**
 * Aggregation per stream set, then the output embedding once for all: streams alone, where these are wanted, stand in the same product.
 *
 * @param hidden of the wanted tokens, [.., H]: work after work, in each stream after stream
 * @param room see Decoder.logits
 */
export async function outputHeads(
  model: Model,
  work: readonly Work[],
  hidden: Float32Array,
  room?: LogitsRoom,
): Promise<(StepResult | undefined)[]> {
  const { hiddenSize: H, vocabSize } = model.config
  const wanted = work.map(wantedTokens)
  const total = wanted.reduce((sum, n) => sum + n, 0)
  if (total === 0) return work.map(() => undefined)

  // Where probabilities are mixed, the streams of a token have logits of their own, and the token's are made of them.
  const mixes = work.map(
    ({ sequence, logits = true }, i) =>
      logits && wanted[i]! > 0 && sequence.p > 1 && model.streamSet(sequence.p)?.config.parscale.merge === 'probabilities',
  )
  const inProduct = work.map(({ logits = true }, i) => logits && !mixes[i])
  // Those that want logits stand first, so that one product makes them all.
  const withLogits = work.reduce((sum, _, i) => sum + (inProduct[i] ? wanted[i]! : 0), 0)
  const streamRows = work.map(({ streamLogits, sequence }, i) => (streamLogits && wanted[i]! > 0 ? sequence.p : 0))
  const products = withLogits + streamRows.reduce((sum, rows) => sum + rows, 0)
  const joined = new Float32Array((total + products - withLogits) * H)
  const parts: Part[] = []
  let [at, streamsAt, later, from] = [0, withLogits, products, 0]
  for (const [i, { sequence }] of work.entries()) {
    const n = wanted[i]!
    const start = inProduct[i] ? at : later
    const size = sequence.p * n * H
    const streams = streamsLast(hidden.subarray(from, from + size), sequence.p, n, H)
    parts.push({ streams, weights: new Float32Array(n).fill(1), at: start, streamsAt, without: work[i]!.withoutStreams ?? [] })
    if (sequence.p === 1) joined.set(streams, start * H)
    if (streamRows[i]! > 0) joined.set(streams.subarray(-sequence.p * H), streamsAt * H)
    streamsAt += streamRows[i]!
    if (inProduct[i]) at += n
    else later += n
    from += size
  }
  for (const [set, members] of byStreamSet(model, work)) {
    const theirs = members.map((i) => parts[i]!)
    await aggregate(model, set, theirs, joined)
  }

  const { logits, normalisers, largest } = await product(
    model,
    joined.subarray(0, products * H),
    work.some(({ normalised }) => normalised),
    room,
  )
  const mixed = await mixedLogits(
    model,
    work.flatMap(({ sequence }, i) => (mixes[i] ? [{ ...parts[i]!, index: i, p: sequence.p }] : [])),
  )
  return parts.map(({ streams, weights, at, streamsAt }, i) => {
    const n = wanted[i]!
    if (n === 0) return undefined
    const streamLogits = logits.subarray(streamsAt * vocabSize, (streamsAt + streamRows[i]!) * vocabSize)
    return {
      logits: mixed.get(i) ?? (inProduct[i] ? logits.subarray(at * vocabSize, (at + n) * vocabSize) : logits.subarray(0, 0)),
      ...(normalisers &&
        work[i]!.normalised &&
        inProduct[i] && { normalisers: normalisers.subarray(at, at + n), largest: largest.subarray(at, at + n) }),
      ...(streamRows[i]! > 0 && { streamLogits }),
      hidden: joined.subarray(at * H, (at + n) * H),
      streams,
      streamWeights: weights,
    }
  })
}

async function product(
  { decoder }: Model,
  hidden: Float32Array,
  normalised: boolean,
  room: LogitsRoom | undefined,
): Promise<NormalisedLogits | { logits: Float32Array; normalisers?: undefined; largest?: undefined }> {
  if (hidden.length === 0) return { logits: new Float32Array() }
  if (normalised && decoder.normalisedLogits) return await decoder.normalisedLogits(hidden, room)
  return { logits: await decoder.logits(hidden, room) }
}

/** Numbers of the streams' logits that are there at once, 64 MB: a long text is mixed in pieces. */
const mixedAtOnce = 2 ** 24

interface Mixed {
  /** [n, P, H] */
  readonly streams: Float32Array
  /** [n, P] */
  readonly weights: Float32Array
  readonly index: number
  readonly p: number
}

/** Logits [n, V] of works whose probabilities are mixed, by index: the streams of all their tokens stand in the same products. */
async function mixedLogits(model: Model, works: readonly Mixed[]): Promise<Map<number, Float32Array>> {
  const { hiddenSize: H, vocabSize: V } = model.config
  const results = new Map(works.map(({ index, weights, p }) => [index, new Float32Array((weights.length / p) * V)]))
  const tokens = works.flatMap(({ streams, weights, index, p }) =>
    Array.from({ length: weights.length / p }, (_, t) => ({
      streams: streams.subarray(t * p * H, (t + 1) * p * H),
      weights: weights.subarray(t * p, (t + 1) * p),
      to: results.get(index)!.subarray(t * V, (t + 1) * V),
    })),
  )
  const room: LogitsRoom = {}
  for (let first = 0; first < tokens.length; ) {
    let [end, rows] = [first, 0]
    do rows += tokens[end++]!.weights.length
    while (end < tokens.length && (rows + tokens[end]!.weights.length) * V <= mixedAtOnce)
    const hidden = new Float32Array(rows * H)
    let at = 0
    for (const { streams } of tokens.slice(first, end)) {
      hidden.set(streams, at)
      at += streams.length
    }
    const logits = await model.decoder.logits(hidden, room)
    let row = 0
    for (const { weights, to } of tokens.slice(first, end)) {
      mixProbabilities(logits.subarray(row * V, (row + weights.length) * V), weights, to)
      row += weights.length
    }
    first = end
  }
  return results
}

/** log sum_p w_p softmax(logits_p) of one token, from logits [P, V] into `mixed` [V]. Not finite where a stream's logits are not. */
export function mixProbabilities(logits: Float32Array, weights: Float32Array, mixed: Float32Array): void {
  const V = mixed.length
  const sums = new Float64Array(V)
  const powers = new Float64Array(V)
  for (const [p, weight] of weights.entries()) {
    const row = logits.subarray(p * V, (p + 1) * V)
    let [largest, total] = [-Infinity, 0]
    // NaN is not larger than anything, and comes back with its power.
    for (let v = 0; v < V; v++) if (row[v]! > largest) largest = row[v]!
    for (let v = 0; v < V; v++) {
      const power = Math.exp(row[v]! - largest)
      powers[v] = power
      total += power
    }
    const share = weight / total
    for (let v = 0; v < V; v++) sums[v]! += share * powers[v]!
  }
  for (let v = 0; v < V; v++) mixed[v] = Math.max(leastLogProbability, Math.log(sums[v]!))
}

/** What no stream gives a probability: rare, but not impossible, as elsewhere. */
const leastLogProbability = -700

/** [P, n, H] to [n, P, H]. */
function streamsLast(hidden: Float32Array, p: number, n: number, H: number): Float32Array {
  if (p === 1 || n === 1) return hidden
  const streams = new Float32Array(hidden.length)
  for (let stream = 0; stream < p; stream++) {
    for (let t = 0; t < n; t++) {
      const from = (stream * n + t) * H
      streams.set(hidden.subarray(from, from + H), (t * p + stream) * H)
    }
  }
  return streams
}

interface Part {
  /** [n, P, H] */
  readonly streams: Float32Array
  /** [n, P] */
  weights: Float32Array
  /** Its first row in `joined`, and the first of its streams' where these are wanted. */
  readonly at: number
  readonly streamsAt: number
  /** Streams to be left out. */
  readonly without: readonly number[]
}

/** One product for all sequences that share a stream set; writes into `joined` [N, H] and the parts' weights. */
async function aggregate(model: Model, set: StreamSet, parts: readonly Part[], joined: Float32Array): Promise<void> {
  const { hiddenSize: H, parscale } = set.config
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.streams.length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part.streams, offset)
    offset += part.streams.length
  }
  if (all.length === 0) return
  const out = await model.decoder.aggregate(parscale.n, all)
  let token = 0
  for (const part of parts) {
    const n = part.streams.length / (parscale.n * H)
    joined.set(out.hidden.subarray(token * H, (token + n) * H), part.at * H)
    part.weights = out.weights.subarray(token * parscale.n, (token + n) * parscale.n)
    if (part.without.length > 0) leaveOut(part, parscale.n, H, joined.subarray(part.at * H, (part.at + n) * H))
    token += n
  }
}

/** Weighs a part's streams anew without some of them: h = sum_p w_p h_p / sum_p w_p over those that are left. */
function leaveOut(part: Part, P: number, H: number, hidden: Float32Array): void {
  const { streams, without } = part
  const weights = Float32Array.from(part.weights, (weight, i) => (without.includes(i % P) ? 0 : weight))
  hidden.fill(0)
  for (let t = 0; t < weights.length / P; t++) {
    const row = weights.subarray(t * P, (t + 1) * P)
    const sum = row.reduce((all, weight) => all + weight, 0)
    for (let p = 0; p < P; p++) {
      // Where those that are left had no weight at all, they have the same. What is not a number stays so.
      row[p] = sum !== 0 ? row[p]! / sum : without.includes(p) ? 0 : 1 / (P - new Set(without).size)
      if (row[p] === 0) continue
      for (let h = 0; h < H; h++) hidden[t * H + h]! += row[p]! * streams[(t * P + p) * H + h]!
    }
  }
  part.weights = weights
}

/** Indices of the work by stream set, where there is anything to aggregate. */
function byStreamSet(model: Model, work: readonly Work[]): Map<StreamSet, number[]> {
  const groups = new Map<StreamSet, number[]>()
  for (const [i, { sequence }] of work.entries()) {
    const set = model.streamSet(sequence.p)
    if (set && sequence.p > 1) groups.set(set, [...(groups.get(set) ?? []), i])
  }
  return groups
}
