/** Folders of training runs as the page sees them: what there is, and what is added while they are written. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readRun } from '@parscale/core/internal/node'
import { openToRead } from '@parscale/core/internal/node/disk'
import { parseRunConfig, totalSteps } from '@parscale/core/internal/training'

export interface RunSummary {
  readonly name: string
  readonly recipe: string
  readonly base: string | null
  readonly p: number
  readonly step: number
  readonly steps: number
  /** Nats a token, of the last evaluation. */
  readonly heldOutLoss: number | null
  /** Milliseconds since the epoch: when it was written to last. */
  readonly changed: number
  /** A sentence where the folder cannot be read: half written, damaged. */
  readonly problem: string | null
  readonly state: 'running' | 'finished' | 'stopped' | 'damaged'
}

/** A line of metrics.jsonl. */
export type RunRecord = { readonly step: number; readonly kind: string } & Readonly<Record<string, unknown>>

export interface RunNews {
  /** True: what came before does not hold any more, as a run went back to a checkpoint. */
  readonly reset: boolean
  readonly records: readonly RunRecord[]
  readonly samples: readonly { readonly step: number; readonly prompt: string; readonly text: string }[]
}

/** Seconds without a word after which a run that no process of ours trains counts as stopped. */
const silentSeconds = 60

/** Names of folders, never paths. */
export const isRunName = (name: string): boolean => /^[\w][\w .-]{0,99}$/.test(name) && !name.includes('..')

/** The runs below a folder. What was read of their logs is kept, so that a look at many costs no more than what is new. */
export class RunList {
  readonly #root: string
  readonly #known = new Map<string, Known>()

  constructor(root: string) {
    this.#root = root
  }

  /** Newest first. @param running names that a process of this server trains */
  async list(running: ReadonlySet<string>): Promise<RunSummary[]> {
    const entries = await readdir(this.#root, { withFileTypes: true }).catch(() => [])
    const names = entries.filter((entry) => entry.isDirectory() && isRunName(entry.name)).map(({ name }) => name)
    for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name)
    const runs = await Promise.all(names.map((name) => this.#summary(name, running.has(name))))
    return runs.filter((run) => run !== undefined).sort((a, b) => b.changed - a.changed)
  }

  /** Undefined for folders that are no runs at all. */
  async #summary(name: string, isOurs: boolean): Promise<RunSummary | undefined> {
    const path = join(this.#root, name)
    const files: string[] = await readdir(path).catch(() => [])
    if (!files.some((file) => file === 'config.json' || file === 'config.json.partial' || file === 'metrics.jsonl'))
      return undefined
    const written = await stat(join(path, 'metrics.jsonl')).catch(() => stat(path))
    const changed = written.mtimeMs
    try {
      const { config, step, heldOut } = await this.#read(name, path, `${changed} ${written.size}`)
      const steps = totalSteps(config)
      const finished = files.includes('evaluation.json') && step >= steps
      const running = isOurs || (!finished && Date.now() - changed < silentSeconds * 1000)
      return {
        ...{ name, step, steps, changed, recipe: config.recipe, base: config.base ?? null, p: config.stages.at(-1)!.p },
        ...{ problem: null, heldOutLoss: typeof heldOut === 'number' ? heldOut : null },
        state: running ? 'running' : finished ? 'finished' : 'stopped',
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      return {
        ...{ name, recipe: '', base: null, p: 0, step: 0, steps: 0, heldOutLoss: null, changed, problem },
        state: isOurs ? 'running' : 'damaged',
      }
    }
  }

  /** @param logs version of metrics.jsonl */
  async #read(name: string, path: string, logs: string): Promise<Known> {
    const about = await stat(join(path, 'config.json')).catch(() => undefined)
    const version = `${about?.mtimeMs} ${about?.size} ${about?.ino}`
    let known = this.#known.get(name)
    if (known?.version !== version) {
      const { config } = await readRun(path)
      known = {
        ...{ version, config: parseRunConfig(config, join(path, 'config.json')), logs: '', reader: new RunReader(path) },
        ...{ step: 0, heldOut: undefined },
      }
      this.#known.set(name, known)
    }
    if (known.logs === logs) return known
    known.logs = logs
    const { reset, records } = await known.reader.news()
    known.step = records.reduce((most, record) => Math.max(most, record.step), reset ? 0 : known.step)
    known.heldOut = records.findLast(({ kind }) => kind === 'evaluation')?.loss ?? (reset ? undefined : known.heldOut)
    return known
  }
}

/** What was read of a run, and of which versions of its files. */
interface Known {
  readonly version: string
  logs: string
  readonly config: ReturnType<typeof parseRunConfig>
  readonly reader: RunReader
  step: number
  heldOut: unknown
}

/** Reads what was added to a run's logs since the last time. A line that is half written is read when it is whole. */
export class RunReader {
  readonly #metrics: LineReader
  readonly #samples: LineReader

  constructor(path: string) {
    this.#metrics = new LineReader(join(path, 'metrics.jsonl'))
    this.#samples = new LineReader(join(path, 'samples.jsonl'))
  }

  async news(): Promise<RunNews> {
    const [metrics, samples] = [await this.#metrics.more(), await this.#samples.more()]
    return {
      reset: metrics.reset,
      records: metrics.values.filter(
        (value): value is RunRecord =>
          typeof (value as RunRecord)?.step === 'number' && typeof (value as RunRecord).kind === 'string',
      ),
      samples: samples.values.filter(
        (value): value is RunNews['samples'][number] => typeof (value as { text?: unknown })?.text === 'string',
      ),
    }
  }
}

class LineReader {
  readonly #path: string
  #read = 0

  constructor(path: string) {
    this.#path = path
  }

  async more(): Promise<{ values: unknown[]; reset: boolean }> {
    const file = await openToRead(this.#path).catch(() => undefined)
    if (!file) return { values: [], reset: this.#restart(0) }
    try {
      const { size } = await file.stat()
      const reset = this.#restart(size)
      const bytes = new Uint8Array(size - this.#read)
      const { bytesRead } = await file.read(bytes, 0, bytes.length, this.#read)
      const whole = bytes.subarray(0, bytesRead).lastIndexOf(0x0a) + 1
      this.#read += whole
      return { values: new TextDecoder().decode(bytes.subarray(0, whole)).split('\n').flatMap(parsed), reset }
    } finally {
      await file.close()
    }
  }

  /** A file that is shorter than what was read of it is another one. */
  #restart(size: number): boolean {
    if (size >= this.#read) return false
    this.#read = 0
    return true
  }
}

/** A line that is no JSON is none of ours. */
function parsed(line: string): unknown[] {
  try {
    return line.trim() === '' ? [] : [JSON.parse(line)]
  } catch {
    return []
  }
}
