/**
 * Work in turns: a piece in each turn of the event loop, whoever it is for, so that all others are served in between. Browsers put
 * off a timer that a timer set by 4 ms, and by a second in a hidden page: there each piece takes so much longer.
 */
import type { Pieces } from './limits.ts'

interface Job {
  /** True once it is over. */
  readonly step: () => boolean
}

/** Of the whole thread, as the event loop is. */
const jobs: Job[] = []

/**
 * Runs to the end what others wait for.
 *
 * @param isWanted asked before each piece: where nobody wants it any more, it is given up and the promise never settles
 */
export function inTurns<T>(work: Pieces<T>, isWanted: () => boolean = () => true): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const step = (): boolean => {
      if (!isWanted()) return true
      try {
        const { done, value } = work.next()
        if (done) resolve(value)
        return done === true
      } catch (error) {
        reject(error)
        return true
      }
    }
    if (jobs.push({ step }) === 1) setTimeout(turn, 0)
  })
}

function turn(): void {
  const job = jobs[0]!
  const isOver = job.step()
  jobs.shift()
  // To the end of the line: what is small need not wait for what is large.
  if (!isOver) jobs.push(job)
  if (jobs.length > 0) setTimeout(turn, 0)
}
