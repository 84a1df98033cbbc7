/** Training runs that are started from the page: each a `parscale train` of its own, so that answers do not wait for steps. */
import { type ChildProcess, spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { cliPath } from '../package-files.ts'
import { endsWithInput } from '../terminal/interrupts.ts'
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
/** So that a tenth of them, which is held out, is more than one or two. */
const leastDocuments = 40

/** Documents with blank lines between them: the text's paragraphs, or pieces of them where there are few. */
export function documentsOf(text: string): string {
  const plain = text.replace(/\r\n?/g, '\n').trim()
  const paragraphs = plain.split(/\n\s*\n/)
  if (paragraphs.length >= leastDocuments) return paragraphs.join('\n\n')
  const size = Math.max(1, Math.floor(plain.length / leastDocuments))
  return paragraphs.flatMap((paragraph) => piecesOf(paragraph, size)).join('\n\n')
}

/** Of at most so many characters each, cut between words where there are any. */
function piecesOf(paragraph: string, size: number): string[] {
  const pieces: string[] = []
  for (let rest = paragraph.trim(); rest !== ''; ) {
    let end = rest.length
    if (end > size) {
      const space = /^[\s\S]*\s/.exec(rest.slice(0, size + 1))?.[0].trimEnd().length
      // Never between the halves of a surrogate pair.
      end = space || (rest.codePointAt(size - 1)! > 0xffff ? size + 1 : size)
    }
    pieces.push(rest.slice(0, end))
    rest = rest.slice(end).trim()
  }
  return pieces
}

export class Trainings {
  readonly #root: string
  readonly #env: NodeJS.ProcessEnv
  readonly #all = new Map<string, Training>()
  /** The one whose text is being written: two requests at once are no two runs. */
  #starting: string | undefined

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
    const [other = this.#starting] = this.running
    if (other !== undefined) throw usageError(`${other} trains already; stop it first, or wait for it`)
    this.#starting = name
    try {
      if (await exists(join(this.#root, name))) throw usageError(`there is a run ${name} already; give it another name`)
      const data = join(this.#root, 'texts', `${name}.txt`)
      await writeWholeFile(data, documentsOf(text))
      this.#train(name, { model, data, p, steps })
    } finally {
      this.#starting = undefined
    }
  }

  #train(name: string, { model, data, p, steps }: { model: string; data: string; p: number; steps: number }): void {
    const args = [
      ...['train', 'recycle', '--model', model, '--data', data, '--p', String(p), '--steps', String(steps)],
      ...['--sequence-length', '64', '--batch-size', '4', '--packing', 'stream', '--held-out', '0.1', '--separator', '\n\n'],
      // Prefixes stay alike over so few steps and learn less: 60 steps on three chapters, 3.72 nats a token against 3.51.
      ...['--streams', 'lora,bitfit,norms', '--balance', '0.1', '--learning-rate', '3e-3'],
      ...['--evaluate-every', String(Math.max(5, Math.round(steps / 10))), '--evaluate-sequences', '16'],
      ...['--checkpoint-every', String(Math.max(10, Math.round(steps / 4))), '--log-every', '1', '--out', join(this.#root, name)],
    ]
    const child = spawn(process.execPath, [cliPath, ...args], {
      // Its input closes when it shall end, or when this process is gone, however that ended; Windows has no SIGTERM.
      env: { ...this.#env, [endsWithInput]: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Not in the terminal's group: its Ctrl-C would come beside our word, and the second one ends without a checkpoint.
      detached: process.platform !== 'win32',
      windowsHide: true,
    })
    child.stdin.on('error', () => {}) // it has ended by itself
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
    training.child.stdin!.end()
  }

  /** Ends all, as with `stop`. */
  close(): void {
    for (const name of this.running) this.#all.get(name)!.child.stdin!.end()
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )
