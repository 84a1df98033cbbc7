/** The child process of a turn: receives one job, sends its result and exits. It also exits when its parent is gone. */
import process from 'node:process'
import { isParscaleError } from '@parscale/core/internal'
import type { Answer, Job } from './job.ts'
import { runTurn } from './run-turn.ts'

process.on('disconnect', () => process.exit())
process.once('message', async (job: Job) => {
  const answer = await runTurn(job).then(
    (turn): Answer => ({ turn }),
    (error: unknown): Answer => ({
      error: {
        kind: isParscaleError(error) ? error.kind : undefined,
        message: error instanceof Error ? error.message : String(error),
      },
    }),
  )
  process.send!(answer, () => process.disconnect())
})
