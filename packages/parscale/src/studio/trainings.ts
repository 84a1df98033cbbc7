/** Training runs that are started from the page: each a `parscale train` of its own, so that answers do not wait for steps. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { cliPath } from '../package-files.ts'
import { isRunName } from './runs.ts'

export interface TrainingRequest {
  readonly name: string
  /** Path of the model whose streams are trained. */
  readonly model: string
  readonly text: string
  readonly p: number
  readonly steps: number
}

interface Training {
  readonly child: ChildProcess
  /** The last of what it said. */
  said: string
  /** Undefined while it runs. */
  code: number | null | undefined
}

const mostSaid = 4000
/** More than most tokenizers make of a token: sequences of 128 need some to hold out. */
const leastCharacters = 2000

export class Trainings {
  readonly #root: string
  readonly #env: NodeJS.ProcessEnv
  readonly #all = new Map<string, Training>()

  /** @param root folder of the runs */
  constructor(root: string, env: NodeJS.ProcessEnv) {
    this.#root = root
    this.#env = env
  }

  get running(): ReadonlySet<string> {
    return new Set([...this.#all].filter(([, { code }]) => code === undefined).map(([name]) => name))
  }

  /** What a run's process said, and how it ended. */
  about(name: string): { said: string; code: number | null | undefined } | undefined {
    const found = this.#all.get(name)
    return found && { said: found.said, code: found.code }
  }

  /** @throws usage error for a name or text that will not do, or while another run trains */
  async start({ name, model, text, p, steps }: TrainingRequest): Promise<void> {
    if (!isRunName(name))
      throw usageError(`a run's name has letters, digits, spaces, dots and dashes, got ${JSON.stringify(name.slice(0, 100))}`)
    if (text.trim().length < leastCharacters)
      throw usageError(
        `the text has ${text.trim().length} characters; streams need at least ${leastCharacters} to learn from, as a part is held out`,
      )
    const [other] = this.running
    if (other !== undefined) throw usageError(`${other} trains already; stop it first, or wait for it`)
    const data = join(this.#root, 'texts', `${name}.txt`)
    await writeWholeFile(data, text)
    const args = [
      ...['train', 'recycle', '--model', model, '--data', data, '--p', String(p), '--steps', String(steps)],
      ...['--sequence-length', '64', '--batch-size', '4', '--packing', 'stream', '--held-out', '0.1', '--separator', '\n\n'],
      ...['--evaluate-every', String(Math.max(5, Math.round(steps / 10))), '--evaluate-sequences', '16'],
      ...['--checkpoint-every', String(Math.max(10, Math.round(steps / 4))), '--log-every', '1', '--out', join(this.#root, name)],
    ]
    const child = spawn(process.execPath, [cliPath, ...args], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] })
    const training: Training = { child, said: '', code: undefined }
    const hear = (part: string) => {
      training.said = (training.said + part).slice(-mostSaid)
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    child.on('error', (error) => hear(error.message))
    child.on('close', (code) => {
      training.code = code
    })
    this.#all.set(name, training)
  }

  /** Lets it write a checkpoint and end. @throws usage error where it does not run */
  stop(name: string): void {
    const training = this.#all.get(name)
    if (training?.code !== undefined || !training) throw usageError(`${name} is not trained by this studio`)
    training.child.kill('SIGTERM')
  }

  /** Ends all, as with `stop`. */
  close(): void {
    for (const name of this.running) this.#all.get(name)!.child.kill('SIGTERM')
  }
}
