/**
 * Notices that another worker on this computer is gone, and ends this one. mpirun does as much by itself; Slurm first asks all others to end and
 * waits for half a minute, in which they would wait for the one that is gone.
 */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import process from 'node:process'

/** Where a process can be seen: on a computer, by those who count processes as it does. */
export interface Home {
  readonly host: string
  readonly pid: number
  readonly space: string
}

/** On other systems than Linux there is one space. */
export const ownHome = async (): Promise<Home> => ({
  host: hostname(),
  pid: process.pid,
  space: await stat('/proc/self/ns/pid').then(
    ({ ino }) => String(ino),
    () => '',
  ),
})

const lookMs = 500
/** The launcher, or the worker that failed, has that long to end all and to say why. */
const graceMs = 1500

/**
 * @param homes of all workers
 * @param say called by one of those that are left, before all end
 * @returns what stops it
 */
export function watchOthers(homes: readonly Home[], rank: number, say: (message: string) => void): () => void {
  const own = homes[rank]!
  const near = homes.flatMap((home, other) => (home.host === own.host && home.space === own.space ? [{ ...home, other }] : []))
  let ending: NodeJS.Timeout | undefined
  const timer = setInterval(() => {
    const gone = near.find(({ pid }) => !isAlive(pid))
    if (!gone || ending) return
    const speaks = near.find(({ pid }) => isAlive(pid))!.other === rank
    const end = () => {
      if (speaks)
        say(
          `worker ${gone.other} of ${homes.length} on ${gone.host} (process ${gone.pid}) is gone, and the others end with it; go on with: parscale train --resume RUN`,
        )
      process.exit(1)
    }
    ending = setTimeout(end, speaks ? graceMs : graceMs + lookMs)
  }, lookMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    clearTimeout(ending)
  }
}

/** False for one that is dead, whether or not its parent has heard of it. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return process.platform !== 'linux'
  }
}
