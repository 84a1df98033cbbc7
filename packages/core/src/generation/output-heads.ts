/** From the backbone's hidden states to logits: which tokens are wanted, their streams aggregated, one product for all. */
import type { LogitsRoom } from '../runtime/index.ts'
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

  // Those that want logits stand first, so that one product makes them all.
  const withLogits = work.reduce((sum, { logits = true }, i) => sum + (logits ? wanted[i]! : 0), 0)
  const streamRows = work.map(({ streamLogits, sequence }, i) => (streamLogits && wanted[i]! > 0 ? sequence.p : 0))
  const products = withLogits + streamRows.reduce((sum, rows) => sum + rows, 0)
  const joined = new Float32Array((total + products - withLogits) * H)
  const parts: Part[] = []
  let [at, streamsAt, later, from] = [0, withLogits, products, 0]
  for (const [i, { sequence, logits = true }] of work.entries()) {
    const n = wanted[i]!
    const start = logits ? at : later
    const size = sequence.p * n * H
    const streams = streamsLast(hidden.subarray(from, from + size), sequence.p, n, H)
    parts.push({ streams, weights: new Float32Array(n).fill(1), at: start, streamsAt, without: work[i]!.withoutStreams ?? [] })
    if (sequence.p === 1) joined.set(streams, start * H)
    if (streamRows[i]! > 0) joined.set(streams.subarray(-sequence.p * H), streamsAt * H)
    streamsAt += streamRows[i]!
    if (logits) at += n
    else later += n
    from += size
  }
  for (const [set, members] of byStreamSet(model, work)) {
    const theirs = members.map((i) => parts[i]!)
    await aggregate(model, set, theirs, joined)
  }

  const logits = products === 0 ? new Float32Array() : await model.decoder.logits(joined.subarray(0, products * H), room)
  for (const [i, { sequence, logits: wants = true }] of work.entries()) {
    const mixed = sequence.p > 1 && model.streamSet(sequence.p)?.config.parscale.merge === 'probabilities'
    if (!mixed || !wants) continue
    const { streams, weights, at } = parts[i]!
    for (let t = 0; t < wanted[i]!; t++) {
      const each = await model.decoder.logits(streams.subarray(t * sequence.p * H, (t + 1) * sequence.p * H))
      mixProbabilities(
        each,
        weights.subarray(t * sequence.p, (t + 1) * sequence.p),
        logits.subarray((at + t) * vocabSize, (at + t + 1) * vocabSize),
      )
    }
  }
  return parts.map(({ streams, weights, at, streamsAt }, i) => {
    const n = wanted[i]!
    if (n === 0) return undefined
    const streamLogits = logits.subarray(streamsAt * vocabSize, (streamsAt + streamRows[i]!) * vocabSize)
    return {
      logits: logits.subarray(at * vocabSize, (at + n) * vocabSize),
      ...(streamRows[i]! > 0 && { streamLogits }),
      hidden: joined.subarray(at * H, (at + n) * H),
      streams,
      streamWeights: weights,
    }
  })
}

/** log sum_p w_p softmax(logits_p) of one token, from logits [P, V] into `mixed` [V]. Not finite where a stream's logits are not. */
export function mixProbabilities(logits: Float32Array, weights: Float32Array, mixed: Float32Array): void {
  const V = mixed.length
  const sums = new Float64Array(V)
  for (const [p, weight] of weights.entries()) {
    const row = logits.subarray(p * V, (p + 1) * V)
    let [largest, total] = [-Infinity, 0]
    for (let v = 0; v < V; v++) largest = Math.max(largest, row[v]!)
    for (let v = 0; v < V; v++) total += Math.exp(row[v]! - largest)
    for (let v = 0; v < V; v++) sums[v]! += (weight / total) * Math.exp(row[v]! - largest)
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
      // Where those that are left had no weight at all, they have the same.
      row[p] = sum > 0 ? row[p]! / sum : without.includes(p) ? 0 : 1 / (P - new Set(without).size)
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
