/** Runs one turn in a child process, and kills it on interrupt. */
import { type ChildProcess, fork } from 'node:child_process'
import { dirname } from 'node:path'
import { ParscaleError, runtimeError } from '@parscale/core/internal'
import { isSource, benchWorker as worker } from '../package-files.ts'
import type { Answer, Job, Turn } from './job.ts'

/**
 * Runs one turn in a process of its own.
 *
 * @throws what the turn threw; runtime error when the process died, of too little memory for one; the signal's reason when
 *   aborted, by which time the process is gone
 */
export async function runInChild(job: Job, signal: AbortSignal): Promise<Turn> {
  signal.throwIfAborted()
  const child = fork(worker, {
    execArgv: isSource ? ['--import', 'tsx', '--conditions=source'] : [],
    cwd: dirname(worker), // tsx is found from here
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  try {
    const answer = await answerOf(child, job)
    signal.throwIfAborted()
    if ('turn' in answer) return answer.turn
    const { kind, message } = answer.error
    throw kind === undefined ? runtimeError(message) : new ParscaleError(kind, message)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
  }
}

/** @throws runtime error when the process ends without an answer, with the end of what it said */
function answerOf(child: ChildProcess, job: Job): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let answer: Answer | undefined
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000)
    })
    child.on('message', (message) => {
      answer = message as Answer
    })
    child.on('error', (cause) => reject(runtimeError(`a process to measure in cannot be started: ${cause.message}`, { cause })))
    // The process is gone and its memory free before the next one starts.
    child.on('close', (code, signal) => {
      if (answer) return resolve(answer)
      const advice =
        signal === 'SIGKILL' ? 'the system kills what takes more memory than there is: try a smaller case' : said.trim()
      reject(
        runtimeError(`the process that measured ended with ${signal ?? `exit code ${code}`}: ${advice}`, {
          found: signal ?? code,
        }),
      )
    })
    child.send(job)
  })
}
