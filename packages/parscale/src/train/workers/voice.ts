/** Which of several workers says that something has failed. The command line loads this at its start. */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Io } from '../../terminal/io.ts'
import { launchedAs } from './launcher.ts'

/** Longer than it takes until a launcher ends all workers for the failure of the first. */
const firstSpeaksMs = 1500

/**
 * For the failures of a worker: what all have in common only the first one says, which ends the others; what is one's own comes with its
 * name. Undefined for who has nothing to say any more.
 */
export async function voiceOf(io: Io): Promise<Io | undefined> {
  const launched = launchedAs(io.env)
  if (!launched || launched.rank === 0) return io
  await sleep(firstSpeaksMs)
  if (io.signal.aborted) return undefined
  const name = `worker ${launched.rank} of ${launched.size} on ${hostname()}: `
  return { ...io, stdout: () => {}, stderr: (text) => io.stderr(`${name}${text}`) }
}
