/**
 * Runs texts through P streams and records, token by token, the loss of every way to mix the streams: one alone, all
 * alike, as aggregated, as aggregated without one. A mixture is a weighting of hidden states; the output embedding does the rest.
 */
import { runtimeError, usageError } from '../../errors.ts'
import { rowTokensPerStep } from '../../generation/index.ts'
import {
  engineOf,
  joinProgress,
  type Reader,
  type ReadOptions,
  readInOrder,
  readText,
  schedulerOf,
  type Texts,
  textsOf,
} from '../read-texts.ts'

/** `p` must be at least 2 here. */
export type MeasureOptions = ReadOptions

/** Losses are -ln p(token), [T] over the T predicted tokens, text after text: all but the first of each. */
export interface StreamMeasurement {
  readonly p: number
  /** As the model runs. */
  readonly aggregate: Float64Array
  /** Of the plain average of the streams' hidden states. */
  readonly average: Float64Array
  /** Of the plain average of the streams' probabilities. */
  readonly ensemble: Float64Array
  /** Of each stream's own hidden state, [P][T]. */
  readonly streams: readonly Float64Array[]
  /** With each stream's aggregation weight set to 0 and the others scaled up to sum to 1, [P][T]. */
  readonly withoutStream: readonly Float64Array[]
  /** The token that each stream's own hidden state makes most likely, [P][T]. */
  readonly predictions: readonly Int32Array[]
  /** Aggregation weights, after smoothing, with which each token was predicted: [T * P], P fastest. */
  readonly weights: Float32Array
  /** |h_i - h_j| / sqrt((|h_i|^2 + |h_j|^2) / 2) of hidden states after the final norm, mean over tokens: [P][P]. */
  readonly distances: readonly Float64Array[]
}

/** Weight of one stream in one token; streams and tokens count from 0. */
type Weighting = (token: number, stream: number) => number

/**
 * A text longer than the context is read through windows that overlap by half, see readText.
 *
 * @param texts ids of one text or several, which are read together
 * @throws usage error for one stream, for fewer than three tokens, or for one that is not in the vocabulary;
 *   runtime error where the model's numbers are not finite
 */
export async function measureStreams(reader: Reader, texts: Texts, options: MeasureOptions = {}): Promise<StreamMeasurement> {
  const engine = engineOf(reader)
  const { model } = engine
  const P = options.p ?? model.defaultP
  if (P === 1) throw usageError(oneStream(model.availableP), { flag: 'p', found: P })
  const list = textsOf(texts)
  const read = list.reduce((sum, ids) => sum + ids.length, 0)
  if (read < list.length + 2)
    throw usageError(`diagnose: a text of at least 3 tokens is needed, got ${read}; give more text`, { found: read })
  for (const ids of list) engine.checkTokens(ids)
  const { hiddenSize: H, vocabSize: V } = model.config
  const T = read - list.length
  const perToken = () => new Float64Array(T)
  const perStream = <A>(make: () => A) => Array.from({ length: P }, make)
  const [aggregate, average, ensemble] = [perToken(), perToken(), perToken()]
  const [streams, withoutStream] = [perStream(perToken), perStream(perToken)]
  const predictions = perStream(() => new Int32Array(T))
  const weights = new Float32Array(T * P)
  const mixesProbabilities = model.streamSet(P)?.config.parscale.merge === 'probabilities'

  /** One text, whose first predicted token has index `first`. Returns the sums of its distances. */
  const measure = async (ids: readonly number[], first: number, walk: MeasureOptions) => {
    const distances = perStream(() => new Float64Array(P))
    await readText(scheduler, ids, walk, async (position, result) => {
      const at = first + position
      const targets = ids.slice(position + 1, position + 1 + result.streamWeights.length / P) // the last token predicts nothing
      const n = targets.length
      if (n === 0) return
      const given = result.streamWeights.subarray(0, n * P)
      const logitsOf = (weighting: Weighting) => model.decoder.logits(mixStreams(result.streams, n, P, H, weighting))
      const lossesOf = async (weighting: Weighting) => targetLosses(await logitsOf(weighting), V, targets)
      weights.set(given, at * P)
      aggregate.set(targetLosses(result.logits, V, targets), at)
      average.set(await lossesOf(() => 1 / P), at)
      for (let i = 0; i < P; i++) {
        const logits = await logitsOf((_, stream) => (stream === i ? 1 : 0))
        streams[i]!.set(targetLosses(logits, V, targets), at)
        for (let t = 0; t < n; t++) predictions[i]![at + t] = argmax(logits.subarray(t * V, (t + 1) * V))
      }
      for (let i = 0; i < P; i++) {
        const weighting = knockOut(given, P, i)
        const mixture = (_: number, t: number) =>
          mixtureLoss(
            streams.map((losses) => losses[at + t]!),
            (stream) => weighting(t, stream),
          )
        withoutStream[i]!.set(mixesProbabilities ? targets.map(mixture) : await lossesOf(weighting), at)
      }
      for (let t = at; t < at + n; t++)
        ensemble[t] = mixtureLoss(
          streams.map((losses) => losses[t]!),
          () => 1 / P,
        )
      addDistances(distances, result.streams, n, P, H)
    })
    return distances
  }

  const scheduler = schedulerOf(reader)
  const progress = joinProgress(list, options.onProgress)
  const firsts: number[] = []
  for (const [i] of list.entries()) firsts.push(i === 0 ? 0 : firsts[i - 1]! + list[i - 1]!.length - 1)
  const measured = readInOrder(list, rowTokensPerStep, options.signal, (ids, signal, i) =>
    measure(ids, firsts[i]!, { p: P, signal, onProgress: progress(i) }),
  )
  const distances = perStream(() => new Float64Array(P))
  for await (const sums of measured)
    for (const [i, row] of sums.entries()) for (const [j, sum] of row.entries()) distances[i]![j]! += sum / T
  return { p: P, aggregate, average, ensemble, streams, withoutStream, predictions, weights, distances }
}

const oneStream = (available: readonly number[]): string =>
  available.length === 1
    ? 'diagnose: this model has one stream (P = 1), so there are no streams to compare; give a model or a stream set with P > 1'
    : `diagnose: P = 1 has no streams to compare; choose P = ${available.slice(1).join(' or ')}`

/** Hidden states [n, H] out of `streams` [n, P, H]. */
function mixStreams(streams: Float32Array, n: number, P: number, H: number, weighting: Weighting): Float32Array {
  const mixed = new Float32Array(n * H)
  for (let t = 0; t < n; t++) {
    for (let stream = 0; stream < P; stream++) {
      const weight = weighting(t, stream)
      if (weight === 0) continue
      const from = (t * P + stream) * H
      for (let h = 0; h < H; h++) mixed[t * H + h]! += weight * streams[from + h]!
    }
  }
  return mixed
}

/** The aggregation without stream `out`. Where that stream has all the weight, the others share it evenly. */
function knockOut(weights: Float32Array, P: number, out: number): Weighting {
  return (t, stream) => {
    if (stream === out) return 0
    const rest = weights.subarray(t * P, (t + 1) * P).reduce((sum, weight, i) => (i === out ? sum : sum + weight), 0)
    return rest > 0 ? weights[t * P + stream]! / rest : 1 / (P - 1)
  }
}

/** -ln softmax(logits)[target] of each row of logits [>= n, V], in double precision; no array per row, as V can be 150,000. */
function targetLosses(logits: Float32Array, V: number, targets: readonly number[]): number[] {
  return targets.map((target, t) => {
    const row = logits.subarray(t * V, (t + 1) * V)
    let max = -Infinity
    for (let v = 0; v < V; v++) if (row[v]! > max) max = row[v]!
    let sum = 0
    for (let v = 0; v < V; v++) sum += Math.exp(row[v]! - max)
    const loss = max + Math.log(sum) - row[target]!
    if (!Number.isFinite(loss)) throw runtimeError("diagnose: the model's logits are NaN or infinite; check its weights")
    return loss
  })
}

/** -ln of the weighted mean of exp(-loss). */
function mixtureLoss(losses: readonly number[], weight: (stream: number) => number): number {
  const least = Math.min(...losses)
  const sum = losses.reduce((total, loss, stream) => total + weight(stream) * Math.exp(least - loss), 0)
  return least - Math.log(sum)
}

/** The first of the largest. */
function argmax(row: Float32Array): number {
  let best = 0
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i
  return best
}

function addDistances(sums: readonly Float64Array[], streams: Float32Array, n: number, P: number, H: number): void {
  const squares = new Float64Array(P)
  for (let t = 0; t < n; t++) {
    const hidden = Array.from({ length: P }, (_, i) => streams.subarray((t * P + i) * H, (t * P + i + 1) * H))
    for (let i = 0; i < P; i++) squares[i] = hidden[i]!.reduce((sum, x) => sum + x * x, 0)
    for (let i = 0; i < P; i++) {
      for (let j = 0; j < i; j++) {
        const apart = hidden[i]!.reduce((sum, x, h) => sum + (x - hidden[j]![h]!) ** 2, 0)
        const distance = apart === 0 ? 0 : Math.sqrt((2 * apart) / (squares[i]! + squares[j]!))
        sums[i]![j]! += distance
        sums[j]![i]! += distance
      }
    }
  }
}
