/** Paired comparison of runs on the same held-out sequences. */
import { createRandom } from '@parscale/core/internal'

/** What `parscale train` leaves in RUN/evaluation.json. */
export interface Losses {
  /** Mean over all tokens, in nats. */
  readonly loss: number
  readonly tokens: number
  /** Sum of losses, and tokens, of each held-out sequence. */
  readonly nats: readonly number[]
  readonly counts: readonly number[]
}

export interface Difference {
  /** Mean over the tokens of `than` minus `is`: above 0 where `is` is better. */
  readonly mean: number
  /** The middle 95 % of the bootstrap. */
  readonly low: number
  readonly high: number
}

const resamples = 4000

/**
 * The difference in mean loss with a 95 % interval, by resampling blocks of neighbouring sequences (sequences of one document
 * are alike). Where there are several seeds, each sequence has the mean over them: the interval is about texts; how seeds
 * differ is shown beside it.
 */
export function pairedDifference(is: readonly Losses[], than: readonly Losses[]): Difference {
  const counts = is[0]!.counts
  for (const each of [...is, ...than]) {
    if (each.counts.join() !== counts.join())
      throw new Error('runs were evaluated on different sequences, so they cannot be paired')
  }
  const mean = (runs: readonly Losses[], i: number) => runs.reduce((sum, { nats }) => sum + nats[i]!, 0) / runs.length
  const blockSize = Math.max(1, Math.floor(counts.length / 50))
  const blocks = Array.from({ length: Math.ceil(counts.length / blockSize) }, (_, b) => {
    const indices = counts.slice(b * blockSize, (b + 1) * blockSize).map((_, i) => b * blockSize + i)
    return {
      difference: indices.reduce((sum, i) => sum + mean(than, i) - mean(is, i), 0),
      tokens: indices.reduce((sum, i) => sum + counts[i]!, 0),
    }
  })
  const ratio = (chosen: typeof blocks) =>
    chosen.reduce((sum, { difference }) => sum + difference, 0) / chosen.reduce((sum, { tokens }) => sum + tokens, 0)
  const random = createRandom(1) // the same runs give the same interval
  const means = Array.from({ length: resamples }, () => ratio(blocks.map(() => blocks[random.below(blocks.length)]!)))
  means.sort((a, b) => a - b)
  return { mean: ratio(blocks), low: means[Math.floor(resamples * 0.025)]!, high: means[Math.floor(resamples * 0.975)]! }
}
