/** Workers as processes of this machine: of `--on local`, and those that `--on bullmq` starts. One that is killed is started again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { type ErrorKind, ParscaleError, runtimeError } from '@parscale/core/internal'
import { exitCodes, interruptedExitCode } from '../../failures.ts'
import { endsWithInput } from '../../terminal/interrupts.ts'
import type { Io } from '../../terminal/io.ts'
import type { Backend } from './backend.ts'
import { workerCommand } from './backend.ts'

/** So many deaths with nothing done between them are no accident. */
const mostDeaths = 20

export interface ProcessOptions {
  readonly name: 'local' | 'bullmq'
  readonly folder: string
  readonly workers: number
  readonly io: Io
  /** Besides the environment. */
  readonly env?: Readonly<Record<string, string>>
  check(): Promise<void>
  /** Before workers are started. */
  prepare?(): Promise<void>
  clear?(): Promise<void>
  /** Grows while something gets done. */
  progress(): Promise<number>
}

export function processBackend({ name, folder, workers, io, env, check, prepare, clear, progress }: ProcessOptions): Backend {
  const running = new Set<ChildProcess>()
  let failed: ParscaleError | undefined
  let stopping = false
  let [deaths, progressAtDeath] = [0, -1]

  const start = () => {
    const [program, ...args] = workerCommand(folder)
    // When this process is gone, so are its workers: each in good order, for its input ends.
    const child = spawn(program!, args, {
      env: { ...io.env, ...env, [endsWithInput]: '1' },
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    running.add(child)
    child.stdin!.on('error', () => {})
    let talk = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      talk = (talk + text).slice(-4_000)
    })
    child.on('error', (cause) => {
      running.delete(child)
      failed ??= runtimeError(`sweep: a worker could not be started: ${cause.message}`, { cause })
    })
    child.on('close', (code, signal) => void ended(child, code, signal, talk))
  }

  const ended = async (child: ChildProcess, code: number | null, signal: NodeJS.Signals | null, talk: string) => {
    try {
      if (stopping || failed || code === 0 || code === interruptedExitCode) return
      if (code !== null && signal === null) {
        const said =
          talk
            .trimEnd()
            .split('\n')
            .at(-1)
            ?.replace(/^parscale: /, '') ?? ''
        failed = new ParscaleError(kindOf(code), said || `sweep: a worker ended with exit code ${code}`)
        return
      }
      const now = await progress()
      deaths = now > progressAtDeath ? 1 : deaths + 1
      progressAtDeath = now
      if (deaths >= mostDeaths)
        failed = runtimeError(`sweep: ${deaths} workers died (${signal}) with nothing done between; logs are in ${folder}/logs`)
      else if (!stopping) start()
    } finally {
      running.delete(child)
    }
  }

  return {
    name,
    check,
    async start() {
      await prepare?.()
      for (let i = 0; i < workers; i++) start()
      return { event: 'started', on: name }
    },
    async alive() {
      if (failed) throw failed
      return workers === 0 ? undefined : running.size
    },
    ...(clear && { clear }),
    async stop() {
      stopping = true // they look at the folder themselves
    },
  }
}

const kindOf = (code: number): ErrorKind =>
  (Object.keys(exitCodes) as ErrorKind[]).find((kind) => exitCodes[kind] === code) ?? 'runtime'
