/**
 * Answers as they come, in a file that only grows: a line for each question, written at once. A process that is killed loses the
 * questions under way; what it left of a line is cut off, and its question asked again.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkpointError, usageError } from '@parscale/core/internal'
import type { Answer, BuiltTask, Item } from '@parscale/core/internal/evaluation/tasks'
import { appendToFile, diskError, type FileLock, makeFolder, openToUpdate, tryFileLock } from '@parscale/core/internal/node/disk'

const advice = { full: 'free some space, then go on with --resume', denied: 'choose another folder', flag: 'out' }

/** What must be the same for answers to count: the model, and what draws texts. */
export interface JournalHead {
  readonly model: string
  readonly weights: string
  readonly seed: number
}

interface Line {
  readonly p: number
  readonly task: string
  readonly doc_id: number
  /** Of all that was asked, so that another data set or task is noticed. */
  readonly asked: string
  readonly answers: readonly Answer[]
}

const format = 1

export class Journal {
  readonly #path: string
  readonly #lines: ReadonlyMap<string, Line>
  #writing: Promise<void> = Promise.resolve()

  readonly #lock: FileLock

  private constructor(path: string, lines: ReadonlyMap<string, Line>, lock: FileLock) {
    this.#path = path
    this.#lines = lines
    this.#lock = lock
  }

  /**
   * Locks the folder until `close`: two evaluations would each write answers that the other does not know of.
   *
   * @param resume false: a folder with answers is refused
   * @throws usage error for a folder that another process evaluates into, and for answers of another model; checkpoint error for a
   *   damaged file
   */
  static async open(folder: string, head: JournalHead, resume: boolean): Promise<Journal> {
    const lock = await lockFolder(folder)
    try {
      return await Journal.#open(folder, head, resume, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  static async #open(folder: string, head: JournalHead, resume: boolean, lock: FileLock): Promise<Journal> {
    const path = join(folder, 'answers.jsonl')
    const bytes = await readFile(path).catch(() => undefined)
    const end = bytes ? bytes.lastIndexOf(0x0a) + 1 : 0
    if (bytes && end > 0) {
      if (!resume)
        throw usageError(`--out ${folder}: holds answers already; go on with --resume, or choose another folder`, { flag: 'out' })
      if (end < bytes.length) await cut(path, end)
      return new Journal(path, readLines(bytes.subarray(0, end).toString('utf8'), head, path), lock)
    }
    if (bytes) await cut(path, 0)
    await appendToFile(path, `${JSON.stringify({ format, ...head })}\n`, advice)
    return new Journal(path, new Map(), lock)
  }

  /** Answers to a task's questions at P. @throws usage error where something else was asked then */
  known({ config, items }: BuiltTask, p: number): Map<number, readonly Answer[]> {
    const known = new Map<number, readonly Answer[]>()
    for (const item of items) {
      const line = this.#lines.get(keyOf(p, config.task, item.id))
      if (!line) continue
      if (line.asked !== askedHash(item))
        throw usageError(
          `${config.task}, item ${item.id}: the answer in ${this.#path} is to another prompt: the data set, the task or an option has changed; choose another --out`,
          { file: this.#path },
        )
      const [answer] = line.answers
      if (answer?.kind === 'generate_until' && answer.texts.length !== config.repeats)
        throw usageError(
          `${config.task}, item ${item.id}: ${this.#path} holds ${answer.texts.length} texts of it, now there are to be ${config.repeats}; give the same --num-samples, or choose another --out`,
          { file: this.#path, expected: config.repeats, found: answer.texts.length },
        )
      known.set(item.id, line.answers)
    }
    return known
  }

  add(p: number, task: string, item: Item, answers: readonly Answer[]): Promise<void> {
    const line: Line = { p, task, doc_id: item.id, asked: askedHash(item), answers }
    this.#writing = this.#writing.then(() => appendToFile(this.#path, `${JSON.stringify(line)}\n`, advice))
    return this.#writing
  }

  /** Lets the folder go, once what was added is written. */
  async close(): Promise<void> {
    await this.#writing.catch(() => {}) // whoever added it has the error
    await this.#lock.release()
  }
}

async function lockFolder(folder: string): Promise<FileLock> {
  const path = join(folder, 'eval.lock')
  await makeFolder(folder)
  const lock = await tryFileLock(path).catch((error) => {
    throw diskError(error, path, advice)
  })
  if ('release' in lock) return lock
  const { owner } = lock
  const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another process'
  throw usageError(`--out ${folder}: ${who} is evaluating into it; wait for it, stop it, or choose another folder`, {
    flag: 'out',
    found: owner,
  })
}

const keyOf = (p: number, task: string, id: number) => `${p} ${id} ${task}`

const askedHash = ({ requests }: Item): string => createHash('sha256').update(JSON.stringify(requests)).digest('hex').slice(0, 16)

async function cut(path: string, length: number): Promise<void> {
  const file = await openToUpdate(path)
  await file.truncate(length).finally(() => file.close())
}

function readLines(text: string, head: JournalHead, path: string): Map<string, Line> {
  const [first, ...rest] = text.trimEnd().split('\n')
  const { format: found, ...before } = parseLine(first!, path, 1) as { format?: number } & Partial<JournalHead>
  if (found !== format) throw checkpointError(`${path}: holds no answers of parscale eval (format ${found})`, { file: path })
  for (const key of ['model', 'weights', 'seed'] as const) {
    if (before[key] !== head[key])
      throw usageError(`${path}: its answers are of ${key} ${before[key]}, not ${head[key]}; choose another --out`, {
        file: path,
        expected: before[key],
        found: head[key],
      })
  }
  const lines = new Map<string, Line>()
  for (const [i, each] of rest.entries()) {
    const line = parseLine(each, path, i + 2) as Line
    lines.set(keyOf(line.p, line.task, line.doc_id), line)
  }
  return lines
}

function parseLine(line: string, path: string, number: number): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw checkpointError(`${path}, line ${number}: is damaged; remove that line, and its question is asked again`, {
      file: path,
      cause,
    })
  }
}
