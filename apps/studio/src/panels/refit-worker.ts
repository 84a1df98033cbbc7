/** Refits of a law in a thread of their own: 200 of them take a second or two. */
import { bootstrap, fitLaw, type LawName, lawNamed, type Point } from '@parscale/core/law'

export interface RefitAsk {
  readonly law: LawName
  readonly points: readonly Point[]
  /** Of the fit, where it is found again. */
  readonly theta: readonly number[]
  readonly done: number
  readonly wanted: number
}

const ofSeed = 4

globalThis.onmessage = ({ data }: MessageEvent<RefitAsk>) => {
  const { law, points, theta, wanted } = data
  try {
    const fit = fitLaw(lawNamed(law), points, [theta])
    const found: Float64Array[] = []
    // Seeds of their own, so that pieces are no repetitions.
    for (let { done } = data; done < wanted; done += ofSeed) found.push(...bootstrap(fit, { count: ofSeed, seed: done + 1 }))
    // All at once: to draw them costs the page more than to wait.
    postMessage(found)
  } catch {
    // Too few points for intervals: the panel says so where it shows none.
  }
  close()
}
