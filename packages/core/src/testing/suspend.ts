/** Processes that are met at a known point, however fast the machine is: they stand still there. */
import type { ChildProcess } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

/** Whether every thread of a process stands still or is gone. Where the system does not say: after a moment. */
async function standsStill(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return await sleep(20, true)
  const threads = await readdir(`/proc/${pid}/task`).catch((): string[] => [])
  const states = threads.map(async (thread) => {
    const text = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => ') X')
    return text[text.lastIndexOf(')') + 2]!
  })
  return (await Promise.all(states)).every((state) => 'TtZX'.includes(state))
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** Stops a process: when this resolves, none of its threads computes or writes. `SIGCONT` lets it go on. */
export async function suspend(child: ChildProcess): Promise<void> {
  child.kill('SIGSTOP')
  while (!hasEnded(child) && !(await standsStill(child.pid!))) await sleep(1)
}

/**
 * Stops a process where something holds: between looking and stopping a fast one may be further, then it goes on to the next time.
 *
 * @returns false where it has ended before
 */
export async function suspendWhere(child: ChildProcess, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  for (;;) {
    while (!hasEnded(child) && !(await holds())) await sleep(1)
    if (hasEnded(child)) return false
    await suspend(child)
    if (await holds()) return !hasEnded(child)
    child.kill('SIGCONT')
  }
}
