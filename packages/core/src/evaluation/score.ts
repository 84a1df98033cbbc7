/** How probable a text is to a model: per-token log-probabilities and perplexity, and the full logits for who wants them. */
import { usageError } from '../errors.ts'
import { channel, logSumExp, rowTokensPerStep, type StepResult } from '../generation/index.ts'
import { anySignal } from '../signals.ts'
import { engineOf, type Reader, type ReadOptions, readInOrder, readText, schedulerOf, type UseResult } from './read-texts.ts'

/** How a text is scored: streams, progress, abort signal. */
export type ScoreOptions = ReadOptions

/** What the model says after the token at `position`. Views, valid until the next one is asked for. */
export interface ScoredPosition {
  readonly position: number
  /** Of the token that follows, [V]. */
  readonly logits: Float32Array
  /** [P] */
  readonly streamWeights: Float32Array
  /** ln of the sum of exp(logits), where the decoder works it out. */
  readonly normaliser?: number
}

/** Log-probabilities of a text's tokens, their mean loss in nats and perplexity. */
export interface Score {
  /** log p(ids[t] | what comes before), natural; null for the first token, which nothing comes before. */
  readonly logProbabilities: readonly (number | null)[]
  /** Each token's aggregation weights, [T][P]: those with which the model went on from it. */
  readonly streamWeights: readonly (readonly number[])[]
  /** Mean negative log-probability over the scored tokens, in nats; null when there is one token only. */
  readonly loss: number | null
  /** exp(loss) */
  readonly perplexity: number | null
}

/** Scores token ids. @throws usage error when there are none, or one is not in the vocabulary */
export async function scoreIds(reader: Reader, ids: readonly number[], options: ScoreOptions = {}): Promise<Score> {
  mustHaveTokens(ids)
  const score = collectScore(ids)
  const { vocabSize } = engineOf(reader).model.config
  const use: UseResult = (at, result) => {
    for (const position of positionsOf(at, result, vocabSize)) score.add(position)
  }
  await readText(schedulerOf(reader), ids, { ...options, normalised: true }, use)
  return score.result()
}

/**
 * Scores many texts together, each as `scoreIds` would: short ones fill a step between them. Scores come in the order of the
 * texts; how many there are does not count for memory, where they are made as they are asked for.
 */
export async function* scoreTexts(
  reader: Reader,
  texts: Iterable<readonly number[]> | AsyncIterable<readonly number[]>,
  { p, signal }: Omit<ScoreOptions, 'onProgress'> = {},
): AsyncGenerator<Score, void> {
  const scheduler = schedulerOf(reader)
  yield* readInOrder(texts, rowTokensPerStep, signal, (ids, signal) => scoreIds(scheduler, ids, { p, signal }))
}

/** Adds positions up to a score, for callers that also want the logits as they pass. */
export function collectScore(ids: readonly number[]): { add(position: ScoredPosition): void; result(): Score } {
  const logProbabilities: (number | null)[] = [null]
  const streamWeights: number[][] = []
  return {
    add({ position, logits, streamWeights: weights, normaliser }) {
      streamWeights.push([...weights])
      const next = ids[position + 1]
      if (next !== undefined) logProbabilities.push(logits[next]! - (normaliser ?? logSumExp(logits)))
    },
    result() {
      const scored = logProbabilities.slice(1) as number[]
      const loss = scored.length === 0 ? null : -scored.reduce((sum, x) => sum + x, 0) / scored.length
      return { logProbabilities, streamWeights, loss, perplexity: loss === null ? null : Math.exp(loss) }
    },
  }
}

/**
 * Every position's result, in order; long texts in windows, see readText. A slow caller holds up nobody else: the text is read
 * one step ahead at most.
 */
export async function* scorePositions(
  reader: Reader,
  ids: readonly number[],
  options: ScoreOptions = {},
): AsyncGenerator<ScoredPosition> {
  mustHaveTokens(ids)
  const left = new AbortController()
  const signal = anySignal(options.signal, left.signal)
  const { vocabSize } = engineOf(reader).model.config
  const steps = channel<{ at: number; result: Positions }>(1)
  const read = readText(
    schedulerOf(reader),
    ids,
    { ...options, signal, normalised: true },
    (at, { logits, streamWeights, normalisers }) =>
      steps.push({
        at,
        result: {
          logits: logits.slice(),
          streamWeights: streamWeights.slice(),
          ...(normalisers && { normalisers: normalisers.slice() }),
        },
      }),
    steps.room,
  ).then(steps.end, steps.fail)
  try {
    for await (const { at, result } of steps) yield* positionsOf(at, result, vocabSize)
  } finally {
    left.abort()
    await read
  }
}

type Positions = Pick<StepResult, 'logits' | 'streamWeights' | 'normalisers'>

function* positionsOf(
  at: number,
  { logits, streamWeights, normalisers }: Positions,
  vocabSize: number,
): Generator<ScoredPosition> {
  const n = logits.length / vocabSize
  const p = streamWeights.length / n
  for (let t = 0; t < n; t++) {
    yield {
      position: at + t,
      logits: logits.subarray(t * vocabSize, (t + 1) * vocabSize),
      streamWeights: streamWeights.subarray(t * p, (t + 1) * p),
      ...(Number.isFinite(normalisers?.[t]) && { normaliser: normalisers![t]! }),
    }
  }
}

function mustHaveTokens(ids: readonly number[]): void {
  if (ids.length === 0) throw usageError('there is nothing to score: the text has no tokens')
}
