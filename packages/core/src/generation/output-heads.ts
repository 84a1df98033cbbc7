/** From the backbone's hidden states to logits: which tokens are wanted, their streams aggregated, one product for all. */
import type { Model, StreamSet } from './model.ts'
import type { StepResult, Work } from './sequence.ts'

/**
 * Aggregation per stream set, then the output embedding once for all.
 *
 * @param hidden [R, T, H] of the work's rows, which are neighbours in the order of the work; T is `tokens`
 */
export async function outputHeads(
  model: Model,
  work: readonly Work[],
  hidden: Float32Array,
  tokens: number,
): Promise<(StepResult | undefined)[]> {
  const { hiddenSize: H, vocabSize } = model.config
  const firstRow = work[0]!.sequence.row
  const wanted = work.map(({ want, ids }) => (want === 'all' ? ids.map((_, t) => t) : want === 'last' ? [ids.length - 1] : []))
  const total = wanted.reduce((sum, list) => sum + list.length, 0)
  if (total === 0) return work.map(() => undefined)

  const joined = new Float32Array(total * H)
  const parts: Part[] = []
  let at = 0
  for (const [i, { sequence }] of work.entries()) {
    const { p, row } = sequence
    const streams = new Float32Array(wanted[i]!.length * p * H)
    for (const [n, t] of wanted[i]!.entries()) {
      for (let stream = 0; stream < p; stream++) {
        const from = ((row - firstRow + stream) * tokens + t) * H
        streams.set(hidden.subarray(from, from + H), (n * p + stream) * H)
      }
    }
    parts.push({ streams, weights: new Float32Array(wanted[i]!.length).fill(1), at })
    if (p === 1) joined.set(streams, at * H)
    at += wanted[i]!.length
  }
  for (const [set, members] of byStreamSet(model, work)) {
    const theirs = members.map((i) => parts[i]!)
    await aggregate(model, set, theirs, joined)
  }

  const logits = await model.logits(joined)
  return parts.map(({ streams, weights, at }, i) => {
    const n = wanted[i]!.length
    if (n === 0) return undefined
    return {
      logits: logits.subarray(at * vocabSize, (at + n) * vocabSize),
      hidden: joined.subarray(at * H, (at + n) * H),
      streams,
      streamWeights: weights,
    }
  })
}

interface Part {
  /** [n, P, H] */
  readonly streams: Float32Array
  /** [n, P] */
  weights: Float32Array
  /** Its first row in `joined`. */
  readonly at: number
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
  const out = await model.aggregate(set, all)
  let token = 0
  for (const part of parts) {
    const n = part.streams.length / (parscale.n * H)
    joined.set(out.hidden.subarray(token * H, (token + n) * H), part.at * H)
    part.weights = out.weights.subarray(token * parscale.n, (token + n) * parscale.n)
    token += n
  }
}

/** Indices of the work by stream set, where there is anything to aggregate. */
function byStreamSet(model: Model, work: readonly Work[]): Map<StreamSet, number[]> {
  const groups = new Map<StreamSet, number[]>()
  for (const [i, { sequence }] of work.entries()) {
    const set = model.streamSet(sequence.p)
    if (set?.aggregator) groups.set(set, [...(groups.get(set) ?? []), i])
  }
  return groups
}
