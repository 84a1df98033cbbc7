/** Sweeps among the folders of runs, as the page sees them. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ResultPoint, resultPoints } from '../sweep/results.ts'
import { type SweepStatus, sweepStatus } from '../sweep/status.ts'
import { SweepFolder } from '../sweep/sweep-folder.ts'
import { isRunName } from './runs.ts'

export type SweepRun = Pick<
  SweepStatus['runs'][number],
  'name' | 'axes' | 'seed' | 'state' | 'step' | 'steps' | 'loss' | 'message'
>

export interface SweepSummary extends Pick<SweepStatus, 'recipe' | 'state' | 'counts' | 'steps'> {
  readonly name: string
  readonly runs: readonly SweepRun[]
  readonly points: readonly ResultPoint[]
  /** A sentence where the folder cannot be read; then it has no runs. */
  readonly problem: string | null
}

/** While a sweep runs, its runs' steps are looked up so often at most, in ms: each look reads a file for every run. */
const lookMs = 3000

interface Known {
  readonly version: string
  readonly at: number
  readonly summary: SweepSummary
}

/** The sweeps below a folder. One that has not changed is not read again. */
export class SweepList {
  readonly #root: string
  readonly #known = new Map<string, Known>()

  constructor(root: string) {
    this.#root = root
  }

  /** By name. */
  async list(): Promise<SweepSummary[]> {
    const entries = await readdir(this.#root, { withFileTypes: true }).catch(() => [])
    const names = entries.filter((entry) => entry.isDirectory() && isRunName(entry.name)).map(({ name }) => name)
    for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name)
    const sweeps = await Promise.all(names.sort().map((name) => this.#summary(name)))
    return sweeps.filter((sweep) => sweep !== undefined)
  }

  /** Undefined for folders that are no sweeps. */
  async #summary(name: string): Promise<SweepSummary | undefined> {
    const path = join(this.#root, name)
    const versions = await Promise.all(['sweep.json', 'journal.jsonl', 'pause'].map((file) => versionOf(join(path, file))))
    if (versions[0] === '') return undefined
    const version = versions.join(' ')
    const known = this.#known.get(name)
    const isOld = known?.summary.state !== 'done' && Date.now() - (known?.at ?? 0) > lookMs
    if (known?.version === version && !isOld) return known.summary
    const summary = await read(name, path)
    this.#known.set(name, { version, at: Date.now(), summary })
    return summary
  }
}

const versionOf = (path: string): Promise<string> =>
  stat(path).then(
    ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
    () => '',
  )

async function read(name: string, path: string): Promise<SweepSummary> {
  try {
    const folder = await SweepFolder.open(path)
    const { recipe, state, counts, steps, runs } = await sweepStatus(folder)
    const points = resultPoints(folder.head, folder.outlook(await folder.journal.read()))
    const about = runs.map(({ worker: _, ...run }) => run)
    return { name, recipe, state, counts, steps, runs: about, points, problem: null }
  } catch (error) {
    const counts = { running: 0, waiting: 0, begun: 0, rung: 0, stopped: 0, finished: 0, failed: 0 }
    const problem = error instanceof Error ? error.message : String(error)
    return { name, recipe: '', state: 'idle', counts, steps: { done: 0, total: 0 }, runs: [], points: [], problem }
  }
}
