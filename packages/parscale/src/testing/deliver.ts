/** Signals that a process has taken when the promise resolves. On a busy machine it may else take two at once, or late. */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

export async function deliver(pid: number, signal: 'SIGINT' | 'SIGTERM'): Promise<void> {
  process.kill(pid, signal)
  if (process.platform !== 'linux') return await sleep(20)
  while (isPending(pid, constants.signals[signal])) await sleep(1)
}

/** A signal to a process waits with the process, and one to a thread with the thread (proc(5)). */
function isPending(pid: number, signal: number): boolean {
  try {
    const masks = readFileSync(`/proc/${pid}/status`, 'utf8').matchAll(/^(?:SigPnd|ShdPnd):\s+([0-9a-f]+)$/gm)
    return [...masks].some(([, mask]) => (BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n)
  } catch {
    return false // gone
  }
}
