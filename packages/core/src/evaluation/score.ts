/** How probable a text is to a model: per-token log-probabilities and perplexity, and the full logits for who wants them. */
import { usageError } from '../errors.ts'
import { type Engine, logSoftmax } from '../generation/index.ts'
import { type TextStepOptions, textSteps } from './text-steps.ts'

export type ScoreOptions = TextStepOptions

/** What the model says after the token at `position`. Views, valid until the next one is asked for. */
export interface ScoredPosition {
  readonly position: number
  /** Of the token that follows, [V]. */
  readonly logits: Float32Array
  /** [P] */
  readonly streamWeights: Float32Array
}

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
export async function scoreIds(engine: Engine, ids: readonly number[], options: ScoreOptions = {}): Promise<Score> {
  const score = collectScore(ids)
  for await (const position of scorePositions(engine, ids, options)) score.add(position)
  return score.result()
}

/** Adds positions up to a score, for callers that also want the logits as they pass. */
export function collectScore(ids: readonly number[]): { add(position: ScoredPosition): void; result(): Score } {
  const logProbabilities: (number | null)[] = [null]
  const streamWeights: number[][] = []
  return {
    add({ position, logits, streamWeights: weights }) {
      streamWeights.push([...weights])
      const next = ids[position + 1]
      if (next !== undefined) logProbabilities.push(logSoftmax(logits)[next]!)
    },
    result() {
      const scored = logProbabilities.slice(1) as number[]
      const loss = scored.length === 0 ? null : -scored.reduce((sum, x) => sum + x, 0) / scored.length
      return { logProbabilities, streamWeights, loss, perplexity: loss === null ? null : Math.exp(loss) }
    },
  }
}

/** Every position's result, in order; long texts in windows, see textSteps. */
export async function* scorePositions(
  engine: Engine,
  ids: readonly number[],
  options: ScoreOptions = {},
): AsyncGenerator<ScoredPosition> {
  if (ids.length === 0) throw usageError('there is nothing to score: the text has no tokens')
  const { vocabSize } = engine.model.config
  for await (const { at, result } of textSteps(engine, ids, options, (at, result) => ({ at, result }))) {
    const n = result.logits.length / vocabSize
    const p = result.streamWeights.length / n
    for (let t = 0; t < n; t++) {
      yield {
        position: at + t,
        logits: result.logits.subarray(t * vocabSize, (t + 1) * vocabSize),
        streamWeights: result.streamWeights.subarray(t * p, (t + 1) * p),
      }
    }
  }
}
