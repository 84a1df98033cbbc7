/** Reads a text through an engine step by step, whatever its length: the one walk under scoring and diagnosis. */
import { type Engine, rowTokensPerStep, type StepResult } from '../generation/index.ts'

export interface TextStepOptions {
  /** Streams; default: the model's largest. */
  readonly p?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

/** 64 MB of them: with a vocabulary of 150,000 a whole step's logits would take five times that. */
const logitsPerStep = 2 ** 24

/**
 * Yields what `use` makes of each step; it runs within the engine's turn and gets the position of the step's first token.
 * Every token comes once, in order. A text longer than the context is read through windows that overlap by half: every
 * token after the first window sees at least half a context.
 */
export async function* textSteps<T>(
  engine: Engine,
  ids: readonly number[],
  { p = engine.model.defaultP, signal, onProgress }: TextStepOptions,
  use: (at: number, result: StepResult) => T | Promise<T>,
): AsyncGenerator<Awaited<T>> {
  const { maxPositionEmbeddings: context, vocabSize } = engine.model.config
  const rowLimit = Math.max(1, Math.floor(rowTokensPerStep / p))
  const chunk = Math.max(1, Math.min(rowLimit, Math.floor(logitsPerStep / vocabSize)))
  for (let start = 0, done = 0; done < ids.length; start += Math.ceil(context / 2)) {
    const end = Math.min(ids.length, start + context)
    const sequence = await engine.turn(() => engine.open({ p, room: end - start }))
    try {
      // What an earlier window has given already is only read again.
      for (let at = start; at < done; at = sequence.length + start) {
        signal?.throwIfAborted()
        const piece = ids.slice(at, Math.min(done, at + rowLimit))
        await engine.turn(() => engine.step([{ sequence, ids: piece, want: 'none' }]))
      }
      for (let at = done; at < end; at = sequence.length + start) {
        signal?.throwIfAborted()
        const piece = ids.slice(at, Math.min(end, at + chunk))
        yield await engine.turn(async () => {
          const [result] = await engine.step([{ sequence, ids: piece, want: 'all' }])
          return await use(at, result!)
        })
        onProgress?.(at + piece.length, ids.length)
      }
    } finally {
      await engine.turn(() => engine.close(sequence))
    }
    done = end
  }
}
