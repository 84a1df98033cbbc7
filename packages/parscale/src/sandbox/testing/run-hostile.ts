/** Hostile programs in the sandbox, and what must be as before after them. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { availableParallelism, hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { Judgement } from '@parscale/core/internal/evaluation'
import { limitsOf } from '../limits.ts'
import { findPython } from '../python.ts'
import { runProgram } from '../run-program.ts'
import { type HostileProgram, hostilePrograms } from './hostile.ts'

/** Numbers that no program can guess. */
const test = 'def check(candidate):\n    for x in (12345, 678901):\n        assert candidate(x) == 2 * x\n'

export interface HostileRun {
  readonly results: readonly { readonly name: string; readonly judgement: Judgement }[]
  /** What a program has reached by the network. */
  readonly connections: number
  /** What is not as it was: none, if the sandbox holds. */
  readonly changed: readonly string[]
}

/** @param wanted which programs; default: all */
export async function runHostile(wanted: (program: HostileProgram, i: number) => boolean = () => true): Promise<HostileRun> {
  const folder = await mkdtemp(join(tmpdir(), 'parscale-hostile-'))
  const canary = join(folder, 'canary')
  await mkdir(canary, { mode: 0o777 })
  await writeFile(join(canary, 'file'), 'untouched', { mode: 0o666 })
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  const { port } = server.address() as { port: number }
  try {
    const before = machine()
    const places = { CANARY: canary, HOSTPID: String(process.pid), HOSTPORT: String(port) }
    const programs = hostilePrograms(places).filter(wanted)
    const python = await findPython()
    const limits = { ...limitsOf(0.5), wallSeconds: 1.5 }
    const results: { name: string; judgement: Judgement }[] = []
    const queue = programs.values()
    const worker = async () => {
      for (const { name, program } of queue)
        results.push({ name, judgement: await runProgram({ program, prelude: '', test, entryPoint: 'f' }, { python, limits }) })
    }
    await Promise.all(Array.from({ length: availableParallelism() }, worker))
    const after = machine()
    const changed = Object.keys(before).filter((key) => before[key] !== after[key])
    if ((await readdir(canary)).join() !== 'file' || (await readFile(join(canary, 'file'), 'utf8')) !== 'untouched')
      changed.push('canary')
    return { results, connections, changed }
  } finally {
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** What programs might leave on a machine. */
function machine(): Record<string, string> {
  const read = (path: string) => readFileSync(path, 'utf8')
  return {
    hostname: hostname(),
    mounts: read('/proc/self/mounts'),
    'shared memory': read('/proc/sysvipc/shm'),
    semaphores: read('/proc/sysvipc/sem'),
    'message queues': read('/proc/sysvipc/msg'),
    'core pattern': read('/proc/sys/kernel/core_pattern'),
    root: readdirSync('/').join(),
    '/usr': readdirSync('/usr').join(),
    processes: judges().join(),
  }
}

/** Processes of sandboxes that this process has started, by what they run. */
export function judges(parent = process.pid): string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/judge.py')) continue
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) continue
      if (descendsFrom(Number(pid), parent)) found.push(pid)
    } catch {} // it has ended
  }
  return found
}

/** Whoever lost its parent counts too: it may have been of ours. */
function descendsFrom(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1; ) {
    if (at === ancestor) return true
    at = Number(/\) \w (\d+)/.exec(readFileSync(`/proc/${at}/stat`, 'utf8'))?.[1])
  }
  return (
    readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') ') &&
    Number(/\) \w (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]) === 1
  )
}
