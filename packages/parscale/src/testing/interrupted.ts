/** Interrupts a real command in the middle of its work. Linux tells from outside how far a process is. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mainPath } from './cli.ts'
import { deliver } from './deliver.ts'

export interface Interruption {
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** One asks to end, the second one ends. */
  readonly signals: 1 | 2
  /** Waits until it has computed for so long. Default 1500. */
  readonly busyMs?: number
  /** Instead: waits for this. */
  readonly ready?: () => boolean
}

export interface Interrupted {
  /** The signal where one has killed it. */
  readonly code: number | string | null
  /** From the last signal to the end. */
  readonly endMs: number
  /** From its start until it takes signals: how fast this machine is just now. */
  readonly startMs: number
  readonly said: string
}

/** Takes SIGINT itself, and has the native module's part in it. */
export const isGuarded = (pid: number): boolean => /parscale[^/]*\.node$/m.test(read(pid, 'maps'))

const ticksPerSecond = 100
function computedMs(pid: number): number {
  const fields = read(pid, 'stat').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return ''
  }
}

/** @returns undefined where it had ended by itself before */
export async function interrupted({ args, env, signals, busyMs = 1500, ready }: Interruption): Promise<Interrupted | undefined> {
  const began = performance.now()
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', mainPath, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said = (said + data).slice(-4000)))
  const ended = new Promise<number>((resolve) => child.on('close', () => resolve(performance.now())))
  const pid = child.pid!
  const running = () => child.exitCode === null && child.signalCode === null
  while (running() && !isGuarded(pid)) await sleep(20)
  const startMs = performance.now() - began
  const from = computedMs(pid)
  while (running() && !(ready ? ready() : computedMs(pid) - from > busyMs)) await sleep(20)
  if (!running()) {
    if (child.exitCode !== 0) throw new Error(`ended by itself with ${child.exitCode ?? child.signalCode}: ${said}`)
    return undefined
  }
  await deliver(pid, 'SIGINT')
  if (signals === 2) {
    await sleep(300)
    child.kill('SIGINT')
  }
  const last = performance.now()
  return { startMs, endMs: (await ended) - last, code: child.exitCode ?? child.signalCode, said }
}
