/** What a run has to remember in a checkpoint besides its arrays, as JSON: read back, it is checked. */
import * as z from 'zod'
import { checkpointError } from '../../errors.ts'

const count = z.number().int().nonnegative()

const trainerPosition = z.object({
  /** Steps over all stages. */
  step: count,
  /** The stage that the arrays belong to. */
  stage: count,
  /** Updates that the moments have seen. */
  updates: count,
  /** Tokens predicted so far. */
  tokens: count,
  losses: z.object({ count, mean: z.number(), variance: z.number() }),
})
export type TrainerPosition = Readonly<z.infer<typeof trainerPosition>>

const savedRun = z.object({
  position: trainerPosition,
  loop: z.object({
    /** Step of the last evaluation; -1: there was none. */
    evaluatedAt: z.number().int().min(-1),
    /** Of all stages and sessions. */
    trainingSeconds: z.number().nonnegative(),
  }),
  /** What of data and frozen backbone has to be the same for a run to go on. */
  data: z.record(z.string(), z.union([z.number(), z.string()])),
})
export type SavedRun = Readonly<z.infer<typeof savedRun>>

/** @param where the checkpoint, for messages. @throws checkpoint error naming what is missing or wrong */
export function parseSavedRun(state: unknown, where: string): SavedRun {
  const parsed = savedRun.safeParse(state)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw checkpointError(`${where}: the saved state is damaged: ${path.join('.') || 'it'}: ${message}`, { file: where })
}
