/** Reads texts through an engine, whatever their length and number: what scoring, comparison and diagnosis have in common. */
import { type Engine, rowTokensPerStep, Scheduler, type StepResult, type TokenRequest } from '../generation/index.ts'
import { anySignal } from '../signals.ts'

export interface ReadOptions {
  /** Streams; default: the model's largest. */
  readonly p?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Tokens read, of all that there are. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** Given an engine, texts share its steps with each other; given a scheduler, with whatever else that runs. */
export type Reader = Engine | Scheduler

/**
 * The scheduler of texts that are read together. It lets in what fills a few steps and no more, so that the cache stays small
 * however many texts there are.
 */
export const schedulerOf = (reader: Reader): Scheduler =>
  reader instanceof Scheduler ? reader : new Scheduler(reader, { maxCachedTokens: 4 * rowTokensPerStep })

export const engineOf = (reader: Reader): Engine => (reader instanceof Scheduler ? reader.engine : reader)

/** Gets the results of positions `at`, `at` + 1, .. within the engine's turn: views, valid during the call. */
export type UseResult = (at: number, result: StepResult) => void | Promise<void>

/**
 * Gives `use` every position once, in order. A text longer than the context is read through windows that overlap by half:
 * every token after the first window sees at least half a context.
 *
 * @param pause as in TokenRequest
 */
export async function readText(
  scheduler: Scheduler,
  ids: readonly number[],
  { p, signal, onProgress, normalised }: ReadOptions & Pick<TokenRequest, 'normalised'>,
  use: UseResult,
  pause?: () => Promise<void> | undefined,
): Promise<void> {
  const { config, defaultP } = scheduler.engine.model
  const context = config.maxPositionEmbeddings
  for (let start = 0, done = 0; done < ids.length; start += Math.ceil(context / 2)) {
    const end = Math.min(ids.length, start + context)
    await scheduler.submit({
      promptIds: ids.slice(start, end),
      maxTokens: 0,
      ...(p !== undefined && { p }),
      ...(signal && { signal }),
      ...(pause && { pause }),
      ...(normalised && { normalised }),
      // What an earlier window has given already is only read again.
      positionsFrom: done - start,
      onPositions: async (at, result) => {
        await use(start + at, result)
        onProgress?.(start + at + result.streamWeights.length / (p ?? defaultP), ids.length)
      },
    })
    done = end
    await pause?.()
  }
}

/**
 * Runs `read` on many texts at a time and yields what it gives, in the order of the texts. When one fails or the caller leaves,
 * the others are aborted, and over before this ends.
 *
 * @param atOnce texts under way or waiting for their turn to be yielded
 */
export async function* readInOrder<T, R>(
  texts: Iterable<T> | AsyncIterable<T>,
  atOnce: number,
  signal: AbortSignal | undefined,
  read: (text: T, signal: AbortSignal, index: number) => Promise<R>,
): AsyncGenerator<R, void> {
  const left = new AbortController()
  const joined = anySignal(signal, left.signal)
  const under: Promise<R>[] = []
  try {
    let index = 0
    for await (const text of texts) {
      const result = read(text, joined, index++)
      result.catch(() => {}) // seen when it is this one's turn
      under.push(result)
      if (under.length >= atOnce) yield await under.shift()!
    }
    while (under.length > 0) yield await under.shift()!
  } finally {
    left.abort()
    await Promise.allSettled(under)
  }
}

/** One text or several. */
export type Texts = readonly number[] | readonly (readonly number[])[]

export const textsOf = (texts: Texts): readonly (readonly number[])[] =>
  texts.length > 0 && typeof texts[0] !== 'number' ? (texts as readonly (readonly number[])[]) : [texts as readonly number[]]

/** One progress out of that of several texts. */
export function joinProgress(
  texts: readonly (readonly number[])[],
  onProgress: ReadOptions['onProgress'],
): (text: number) => (done: number) => void {
  const done = texts.map(() => 0)
  const total = texts.reduce((sum, ids) => sum + ids.length, 0)
  let sum = 0
  return (text) => (now) => {
    sum += now - done[text]!
    done[text] = now
    onProgress?.(sum, total)
  }
}
