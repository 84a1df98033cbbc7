/** Folders of training runs as the page sees them: what there is, and what is added while they are written. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readRun } from '@parscale/core/internal/node'
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

/** The runs below a folder, newest first. @param running names that a process of this server trains */
export async function listRuns(root: string, running: ReadonlySet<string>): Promise<RunSummary[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  const names = entries.filter((entry) => entry.isDirectory() && isRunName(entry.name)).map(({ name }) => name)
  const runs = await Promise.all(names.map((name) => summary(join(root, name), running.has(name))))
  return runs.filter((run) => run !== undefined).sort((a, b) => b.changed - a.changed)
}

/** Undefined for folders that are no runs at all. */
async function summary(path: string, isOurs: boolean): Promise<RunSummary | undefined> {
  const name = basename(path)
  const files: string[] = await readdir(path).catch(() => [])
  if (!files.some((file) => file === 'config.json' || file === 'config.json.partial' || file === 'metrics.jsonl'))
    return undefined
  const written = await stat(join(path, 'metrics.jsonl')).catch(() => stat(path))
  const changed = written.mtimeMs
  try {
    const { config: stored } = await readRun(path)
    const config = parseRunConfig(stored, join(path, 'config.json'))
    const { records } = await new RunReader(path).news()
    const step = records.reduce((most, record) => Math.max(most, record.step), 0)
    const heldOut = records.findLast(({ kind }) => kind === 'evaluation')?.loss
    const steps = totalSteps(config)
    const finished = files.includes('evaluation.json') && step >= steps
    const running = isOurs || (!finished && Date.now() - changed < silentSeconds * 1000)
    return {
      ...{
        name,
        recipe: config.recipe,
        base: config.base ?? null,
        p: config.stages.at(-1)!.p,
        step,
        steps,
        changed,
        problem: null,
      },
      heldOutLoss: typeof heldOut === 'number' ? heldOut : null,
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
    const bytes = await readFile(this.#path).catch(() => new Uint8Array())
    const whole = bytes.lastIndexOf(0x0a) + 1
    const reset = whole < this.#read
    const from = reset ? 0 : this.#read
    this.#read = whole
    const lines = new TextDecoder().decode(bytes.subarray(from, whole)).split('\n')
    return { values: lines.flatMap(parsed), reset }
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
