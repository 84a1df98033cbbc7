/**
 * Learning-rate schedules as data: the rate of a step follows from the schedule and the step's number, from nothing else,
 * so a resumed run goes on where it was.
 */
import { usageError } from '../../errors.ts'

interface Common {
  /** The highest rate. */
  readonly peak: number
  /** Steps over which the rate rises linearly to the peak: the first is peak / warmupSteps. 0: none. */
  readonly warmupSteps: number
}

interface Ending {
  /** All steps, warm-up included. From the last on the rate is `final`. */
  readonly totalSteps: number
  /** The rate at the end. */
  readonly final: number
}

export type Schedule =
  | (Common & { readonly kind: 'constant' })
  /** Straight from the peak to the end. */
  | (Common & Ending & { readonly kind: 'linear' })
  /** Half a cosine from the peak to the end (I. Loshchilov, F. Hutter, "SGDR", arXiv 1608.03983, without restarts). */
  | (Common & Ending & { readonly kind: 'cosine' })
  /**
   * Warm-up, stable, decay (S. Hu et al., "MiniCPM", arXiv 2404.06395): the peak is held, and the last `decaySteps` fall
   * linearly to the end.
   */
  | (Common & Ending & { readonly kind: 'wsd'; readonly decaySteps: number })

/** The rate of step 1, 2, ... */
export function learningRate(schedule: Schedule, step: number): number {
  const { peak, warmupSteps } = schedule
  if (step < warmupSteps) return (peak * step) / warmupSteps
  switch (schedule.kind) {
    case 'constant':
      return peak
    case 'linear':
      return between(peak, schedule.final, progress(warmupSteps, schedule.totalSteps, step))
    case 'cosine':
      return between(peak, schedule.final, (1 - Math.cos(Math.PI * progress(warmupSteps, schedule.totalSteps, step))) / 2)
    case 'wsd':
      return between(peak, schedule.final, progress(schedule.totalSteps - schedule.decaySteps, schedule.totalSteps, step))
  }
}

/** @throws usage error for rates that are not positive and phases that do not fit into the run; `flag` is the field */
export function validateSchedule(schedule: Schedule): void {
  const { kind, peak, warmupSteps } = schedule
  const require = (holds: boolean, flag: string, sentence: string) => {
    if (!holds) throw usageError(`learning rate schedule ${kind}: ${sentence}`, { flag, found: schedule })
  }
  require(peak > 0 && Number.isFinite(peak), 'peak', `the peak must be positive, got ${peak}`)
  require(Number.isInteger(warmupSteps) &&
    warmupSteps >= 0, 'warmupSteps', `warm-up must be a number of steps, got ${warmupSteps}`)
  if (kind === 'constant') return
  const { totalSteps, final } = schedule
  require(final >= 0 && final <= peak, 'final', `the final rate must lie between 0 and the peak ${peak}, got ${final}`)
  const decaySteps = kind === 'wsd' ? schedule.decaySteps : 0
  require(decaySteps >= 0, 'decaySteps', 'the decay must be a number of steps')
  require(Number.isInteger(totalSteps) && warmupSteps + decaySteps <= totalSteps, warmupSteps > decaySteps
    ? 'warmupSteps'
    : 'decaySteps', `${warmupSteps + decaySteps} steps of warm-up and decay do not fit into ${totalSteps}`)
}

/** 0 at `from` and before, 1 at `to` and after. */
const progress = (from: number, to: number, step: number): number =>
  to <= from ? Number(step > from) : Math.min(1, Math.max(0, (step - from) / (to - from)))

const between = (start: number, end: number, share: number): number => start + (end - start) * share
