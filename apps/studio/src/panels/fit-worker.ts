/** Fits of all laws to the reader's own points, in a thread of their own: thousands of points take seconds. */
import { fitLaw, type LawName, lawNamed, type Point } from '@parscale/core/law'

export interface FitAsk {
  readonly laws: readonly LawName[]
  readonly points: readonly Point[]
}

/** By law: where its fit ends, or why there is none. */
export type FitAnswer = Readonly<Record<string, readonly number[] | string>>

globalThis.onmessage = ({ data: { laws, points } }: MessageEvent<FitAsk>) => {
  const answer: Record<string, readonly number[] | string> = {}
  for (const law of laws)
    try {
      answer[law] = [...fitLaw(lawNamed(law), points).theta]
    } catch (error) {
      answer[law] = (error as Error).message
    }
  postMessage(answer satisfies FitAnswer)
  close()
}
