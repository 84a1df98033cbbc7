/** How probable a text is to a model: per-token log-probabilities and perplexity, and the full logits for who wants them. */
import { usageError } from '../errors.ts'
import { type Engine, logSoftmax, rowTokensPerStep } from '../generation/index.ts'

export interface ScoreOptions {
  /** Streams; default: the model's largest. */
  readonly p?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

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

/**
 * Every position's result, in order. A text longer than the context is read through windows that overlap by half: every
 * token after the first window sees at least half a context.
 */
export async function* scorePositions(
  engine: Engine,
  ids: readonly number[],
  options: ScoreOptions = {},
): AsyncGenerator<ScoredPosition> {
  if (ids.length === 0) throw usageError('there is nothing to score: the text has no tokens')
  const context = engine.model.config.maxPositionEmbeddings
  for (let start = 0, done = 0; done < ids.length; start += Math.ceil(context / 2)) {
    const end = Math.min(ids.length, start + context)
    for await (const scored of scoreWindow(engine, ids, start, end, options)) {
      if (scored.position < done) continue
      yield scored
      options.onProgress?.(scored.position + 1, ids.length)
    }
    done = end
  }
}

/** 64 MB of them: with a vocabulary of 150,000 a whole step's logits would take five times that. */
const logitsPerStep = 2 ** 24

async function* scoreWindow(
  engine: Engine,
  ids: readonly number[],
  start: number,
  end: number,
  options: ScoreOptions,
): AsyncGenerator<ScoredPosition> {
  const { vocabSize } = engine.model.config
  const sequence = await engine.turn(() => engine.open({ p: options.p, room: end - start }))
  const chunk = Math.max(1, Math.min(Math.floor(rowTokensPerStep / sequence.p), Math.floor(logitsPerStep / vocabSize)))
  try {
    for (let at = start; at < end; at += chunk) {
      options.signal?.throwIfAborted()
      const piece = ids.slice(at, Math.min(end, at + chunk))
      const [result] = await engine.turn(() => engine.step([{ sequence, ids: piece, want: 'all' }]))
      for (let t = 0; t < piece.length; t++) {
        yield {
          position: at + t,
          logits: result!.logits.subarray(t * vocabSize, (t + 1) * vocabSize),
          streamWeights: result!.streamWeights.subarray(t * sequence.p, (t + 1) * sequence.p),
        }
      }
    }
  } finally {
    await engine.turn(() => engine.close(sequence))
  }
}
