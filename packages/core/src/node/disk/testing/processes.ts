/** Processes for tests of locks and leftovers: ones that are killed, and ones that are dead but not reaped. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const tsx = ['--import', 'tsx', '--conditions=source', '--input-type=module']

/** Runs a script that may import modules of src by `module('disk/owner.ts')`. */
export const runScript = (script: string): ChildProcess =>
  spawn(process.execPath, [...tsx, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })

/** A module of src/node, quoted for an import. */
export const nodeModule = (path: string): string => JSON.stringify(fileURLToPath(new URL(`../../${path}`, import.meta.url)))

export interface Zombie {
  readonly pid: number
  /** Ends the parent, and with it the zombie. */
  end(): Promise<void>
}

/**
 * Runs a script until it prints something, then kills it. Its parent never asks for its end, so that it stays in state Z: as
 * in a container whose first process is no init.
 */
export async function zombieAfter(script: string): Promise<Zombie> {
  // The shell becomes `sleep`, which has a child that it does not know of.
  const command = `"$0" "$@" & echo "pid $!"; exec sleep 1000`
  const parent = spawn('sh', ['-c', command, process.execPath, ...tsx, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  while (!/^pid \d+$/m.test(text) || text.trim().split('\n').length < 2) text += String((await once(parent.stdout!, 'data'))[0])
  const pid = Number(/^pid (\d+)$/m.exec(text)![1])
  process.kill(pid, 'SIGKILL')
  while (!/\) Z /.test(await readFile(`/proc/${pid}/stat`, 'utf8'))) await sleep(5)
  const end = async () => {
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  }
  return { pid, end }
}
