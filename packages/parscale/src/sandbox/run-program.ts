/**
 * One program judged in a sandbox of its own: bubblewrap makes namespaces without network, without /proc and with one small /tmp,
 * and starts `judge.py` as their first process. That ends, and everything in there with it; so does this process's death.
 *
 * Here are the limits that only the outside can keep: memory of all processes together, and a clock for a judge that is stuck.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import type { Duplex, Readable, Writable } from 'node:stream'
import { exchangeSource, type Judgement, type Verdict } from '@parscale/core/internal/evaluation'
import { judgeScript } from '../package-files.ts'
import type { Limits } from './limits.ts'
import { residentBytes } from './processes.ts'
import type { Python } from './python.ts'
import { seccompFilter } from './seccomp.ts'

export interface Program {
  /** Source that defines what is checked. */
  readonly program: string
  /** Runs before the checks, beside them: helpers that the prompt brings. */
  readonly prelude: string
  /** Source of the checks: they fail by raising. With `entryPoint`, they define `check(candidate)`. */
  readonly test: string
  readonly entryPoint?: string | undefined
}

export interface RunOptions {
  readonly python: Python
  readonly limits: Limits
  readonly signal?: AbortSignal | undefined
}

/** Root is limited in no number of processes, in whatever namespace: so root becomes Debian's `nobody`. */
const nobody = 65534

/** Whether this user namespace has the user. Where it has not, root is none outside of it, and the limit holds. */
function has(user: number): boolean {
  const ranges = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')
  return ranges.some((line) => {
    const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number)
    return user >= first && user < first + count
  })
}
const watchEveryMs = 50
/** A judge that has not said anything by then is stuck. It gives a program more time itself where the machine is busy. */
const longestMs = ({ wallSeconds }: Limits): number => 4000 * wallSeconds + 5000
const longestMessage = 2 ** 16

const environment = {
  PATH: '/usr/bin:/bin',
  HOME: '/tmp',
  LANG: 'C.UTF-8',
  // The same verdict each time, whatever a set's order decides.
  PYTHONHASHSEED: '0',
  // A thread for each core would use up the processes.
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
}

// Descriptors of the sandbox, as `stdio` lists them.
const [script, filter, info] = [4, 5, 6]

const bubblewrapArguments = (python: Python, limits: Limits): string[] => [
  ...['--unshare-user', '--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'],
  ...['--uid', String(nobody), '--gid', String(nobody), '--hostname', 'sandbox', '--cap-drop', 'ALL'],
  ...['--die-with-parent', '--new-session', '--as-pid-1', '--clearenv'],
  ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
  ...python.binds,
  ...['--dir', '/proc', '--dir', '/dev', '--size', String(limits.diskBytes), '--tmpfs', '/tmp', '--symlink', '/tmp', '/dev/shm'],
  ...['null', 'zero', 'random', 'urandom'].flatMap((name) => ['--dev-bind', `/dev/${name}`, `/dev/${name}`]),
  ...['--file', String(script), '/judge.py', '--remount-ro', '/', '--chdir', '/tmp'],
  ...['--seccomp', String(filter), '--info-fd', String(info)],
  ...['--', python.path, '-s', '-B', '/judge.py'],
]

let source: string | undefined

/** Never throws because of the program. A sandbox that could not be made is the verdict `refused`, with the reason. */
export async function runProgram(program: Program, { python, limits, signal }: RunOptions): Promise<Judgement> {
  signal?.throwIfAborted()
  const calls = seccompFilter()
  if (!calls) return refused(`system calls of ${process.arch} are not known here; x64 and arm64 are`)
  const started = performance.now()
  const child = spawn('bwrap', bubblewrapArguments(python, limits), {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
    cwd: '/',
    ...(process.getuid?.() === 0 && has(nobody) && { uid: nobody, gid: nobody }),
  })
  const [input, , errors, verdict, scriptPipe, filterPipe, infoPipe] = child.stdio as unknown as readonly [
    Writable,
    null,
    Readable,
    Duplex,
    Duplex,
    Duplex,
    Duplex,
  ]
  for (const stream of [input, verdict, scriptPipe, filterPipe, infoPipe]) stream.on('error', () => {}) // it ended early
  const said = collect(verdict)
  const complained = collect(errors)
  const told = collect(infoPipe)
  source ??= exchangeSource + readFileSync(judgeScript, 'utf8')
  scriptPipe.end(source)
  filterPipe.end(calls)
  const { program: text, ...checks } = program
  input.write(documentOf({ ...limits, folders: ['/tmp'], program: text }))
  input.end(documentOf(checks))

  // Why this side ended it, where it did.
  let ended: Judgement | undefined
  const kill = (verdict: Verdict, result: string) => {
    ended ??= { verdict, result, seconds: (performance.now() - started) / 1000 }
    child.kill('SIGKILL')
  }
  const clock = setTimeout(() => kill('time', 'timed out'), longestMs(limits))
  const watch = setInterval(async () => {
    const pid = Number(/"child-pid": (\d+)/.exec(told())?.[1] ?? 0)
    if (pid && (await residentBytes(pid)) > limits.memoryBytes) kill('memory', 'failed: out of memory')
  }, watchEveryMs)
  const abort = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', abort)
  try {
    const failure = await closed(child)
    signal?.throwIfAborted()
    if (failure) return refused(failure)
    if (ended) return ended
    const judgement = parsed(said())
    if (judgement) return judgement
    const complaint = complained().trim().split('\n').at(-1) ?? ''
    if (told() === '' || complaint.startsWith('bwrap: ')) return refused(complaint || 'bubblewrap ended without a word')
    return {
      verdict: 'killed',
      result: 'failed: the judge ended without a verdict',
      seconds: (performance.now() - started) / 1000,
    }
  } finally {
    clearTimeout(clock)
    clearInterval(watch)
    signal?.removeEventListener('abort', abort)
  }
}

/** Undefined where the judge was ended before, or while, it said something. */
function parsed(text: string): Judgement | undefined {
  try {
    return JSON.parse(text) as Judgement
  } catch {
    return undefined
  }
}

const refused = (reason: string): Judgement => ({ verdict: 'refused', result: `refused: ${reason}`, seconds: 0 })

/** @returns why it could not be started, or nothing */
const closed = (child: ChildProcess): Promise<string | undefined> =>
  new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(
        error.code === 'ENOENT' || error.code === 'EACCES' // of a folder on the way that nobody may read
          ? 'there is no bwrap; install bubblewrap (Debian: apt-get install bubblewrap)'
          : `bwrap cannot be started (${error.code ?? error.message})`,
      ),
    )
    child.once('close', () => resolve(undefined))
  })

/** Four bytes of length, and JSON. */
function documentOf(value: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(value))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

/** What has come so far; the rest of what is too long is not kept. */
function collect(stream: Readable): () => string {
  const parts: Buffer[] = []
  let size = 0
  stream.on('data', (part: Buffer) => {
    size += part.length
    if (size <= longestMessage) parts.push(part)
  })
  return () => Buffer.concat(parts).toString('utf8')
}
