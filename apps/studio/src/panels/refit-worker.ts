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

/** Refits of one seed; and from so many on there are intervals: the panel draws them then, and once more when all are there. */
const [ofSeed, enough] = [4, 40]

globalThis.onmessage = ({ data }: MessageEvent<RefitAsk>) => {
  const { law, points, theta, wanted } = data
  try {
    const fit = fitLaw(lawNamed(law), points, [theta])
    let some: Float64Array[] = []
    for (let { done } = data; done < wanted; done += ofSeed) {
      // Seeds of their own, so that pieces are no repetitions.
      some.push(...bootstrap(fit, { count: ofSeed, seed: done + 1 }))
      const now = done + ofSeed
      if (now !== enough && now < wanted) continue
      postMessage(some)
      some = []
    }
  } catch {
    // Too few points for intervals: the panel says so where it shows none.
  }
  close()
}
