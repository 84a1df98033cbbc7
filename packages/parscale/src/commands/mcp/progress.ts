/** Progress of a call as the protocol has it: it never falls, whatever phases a command goes through. */
import type { Io } from '../../terminal/io.ts'

export interface ProgressReport {
  readonly progress: number
  readonly total: number | undefined
  readonly message: string
}

/** Not more often than a reader could follow. */
const everyMs = 100

export function progressOf(report: (progress: ProgressReport) => void): Io['progress'] {
  /** Of the phases that are over. */
  let before = 0
  let [last, lastAt] = [-1, -Infinity]
  return (label, unit) => {
    let phase = 0
    return {
      update(done, total) {
        phase = done
        const now = performance.now()
        if (before + done <= last || (now - lastAt < everyMs && done !== total)) return
        ;[last, lastAt] = [before + done, now]
        report({
          progress: last,
          total: total === undefined ? undefined : before + total,
          message: unit ? `${label}, ${unit}` : label,
        })
      },
      end() {
        before += phase
        phase = 0
      },
    }
  }
}
