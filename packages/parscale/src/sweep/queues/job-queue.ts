/** Where workers get jobs from. What is done and what is left to do stands in the journal alone: a queue may lose everything. */
import type { Job } from '../rules.ts'

export interface Ticket {
  /** Which of the jobs that are left it is for. */
  readonly wants: (job: Job) => boolean
  /** It was done, or somebody else has done it. */
  done(): Promise<void>
  /** Somebody else has it just now. */
  later(): Promise<void>
  /** It was left; whoever comes next goes on. */
  back(): Promise<void>
}

export interface JobQueue {
  /** Undefined: there is nothing just now. */
  next(signal: AbortSignal): Promise<Ticket | undefined>
  /** Jobs that are ready; those that it has already stay as they are. */
  offer(jobs: readonly Job[]): Promise<void>
  close(): Promise<void>
}

const nothing = async () => {}

/** The journal itself: the first job that nobody has. */
export const journalQueue: JobQueue = {
  next: async () => ({ wants: () => true, done: nothing, later: nothing, back: nothing }),
  offer: nothing,
  close: nothing,
}
