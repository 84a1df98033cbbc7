/**
 * The folder of a sweep, which several processes and machines work in at once:
 *
 *     sweep.json       the runs and their configurations, written once
 *     journal.jsonl    what has happened (journal.ts)
 *     runs/NAME        the runs, each as `parscale train` makes it
 *     claims/NAME      locks: who has a run
 *     logs/NAME.log    what a run has said
 *     results.csv      the means by N, P and D, for `parscale fit`
 *     runs.csv         every run
 *     pause            while it is there, workers leave what they have and end
 */
import { randomUUID } from 'node:crypto'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { checkpointError, usageError } from '@parscale/core/internal'
import { diskError, makeFolder, withFileLock, writeWholeFile } from '@parscale/core/internal/node/disk'
import type { Device } from '@parscale/core/internal/runtime'
import type { RecipeName, RunConfig } from '@parscale/core/internal/training'
import { Journal, sweepAdvice } from './journal.ts'
import { csv, resultRows, runRows } from './results.ts'
import { type Outlook, outlookOf, type Report, type SweepPlan } from './rules.ts'

export interface SweepHead extends SweepPlan {
  readonly format: 1
  readonly id: string
  readonly recipe: RecipeName
  readonly axes: readonly string[]
  readonly cells: readonly (SweepPlan['cells'][number] & { readonly config: RunConfig })[]
  /** Of each worker. */
  readonly device: Device
  readonly threads: number
  readonly slurm: Readonly<Record<string, string>>
}

const headName = 'sweep.json'
const advice = { full: 'free some space and run the command again', denied: 'choose another --out', flag: 'out' }

export class SweepFolder {
  readonly path: string
  readonly head: SweepHead
  readonly journal: Journal

  private constructor(path: string, head: SweepHead) {
    this.path = path
    this.head = head
    this.journal = new Journal(path)
  }

  /**
   * Begins a sweep, or goes on with it where the folder has this one.
   *
   * @throws usage error for a folder with another sweep, or with something else
   */
  static async create(out: string, plan: Omit<SweepHead, 'format' | 'id'>): Promise<{ folder: SweepFolder; isNew: boolean }> {
    const path = resolve(out)
    const before = await readHead(path)
    if (before) {
      requireSame(path, before, plan)
      return { folder: new SweepFolder(path, before), isNew: false }
    }
    await refuseForeign(path)
    const head: SweepHead = { format: 1, id: randomUUID(), ...plan }
    await makeFolder(path).catch((error) => {
      throw diskError(error, path, advice)
    })
    return await withFileLock(join(path, 'begin.lock'), { advice }, async () => {
      const other = await readHead(path) // by one who was faster
      if (other) requireSame(path, other, plan)
      else await writeWholeFile(join(path, headName), `${JSON.stringify(head, null, 1)}\n`, advice)
      return { folder: new SweepFolder(path, other ?? head), isNew: !other }
    })
  }

  /** @throws usage error where there is no sweep */
  static async open(path: string): Promise<SweepFolder> {
    const folder = resolve(path)
    const head = await readHead(folder)
    if (head) return new SweepFolder(folder, head)
    throw usageError(`${path}: is not the folder of a sweep: ${headName} is missing; name what parscale sweep --out has made`, {
      file: folder,
    })
  }

  run = (name: string): string => join(this.path, 'runs', name)
  claim = (name: string): string => join(this.path, 'claims', name)
  log = (name: string): string => join(this.path, 'logs', `${name}.log`)

  /** A run's configuration. */
  configOf({ cell, seed }: { readonly cell: number; readonly seed: number }): RunConfig {
    return { ...this.head.cells[cell]!.config, seed }
  }

  outlook(lines: readonly { readonly event: string }[]): Outlook {
    return outlookOf(
      this.head,
      lines.filter((line): line is Report => line.event !== 'started'),
    )
  }

  /** Writes the tables anew. */
  async writeTables(outlook: Outlook): Promise<void> {
    await writeWholeFile(join(this.path, 'runs.csv'), csv(runRows(this.head, outlook)), sweepAdvice)
    await writeWholeFile(join(this.path, 'results.csv'), csv(resultRows(this.head, outlook)), sweepAdvice)
  }

  async isPaused(): Promise<boolean> {
    return await stat(join(this.path, 'pause')).then(
      () => true,
      () => false,
    )
  }

  async pause(): Promise<void> {
    await writeWholeFile(join(this.path, 'pause'), '', sweepAdvice)
  }

  async unpause(): Promise<void> {
    await rm(join(this.path, 'pause'), { force: true })
  }
}

async function readHead(path: string): Promise<SweepHead | undefined> {
  const file = join(path, headName)
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw usageError(`${file}: cannot be read (${cause.code})`, { file, cause })
  })
  if (text === undefined) return undefined
  let head: SweepHead
  try {
    head = JSON.parse(text)
  } catch (cause) {
    throw checkpointError(`${file}: is damaged; restore it from a backup`, { file, cause })
  }
  if (head.format === 1) return head
  throw checkpointError(`${file}: is of format ${head.format}, this version reads 1`, { file, found: head.format })
}

async function refuseForeign(path: string): Promise<void> {
  const entries = await readdir(path).catch((cause: NodeJS.ErrnoException): string[] => {
    if (cause.code === 'ENOENT') return []
    throw diskError(cause, path, advice)
  })
  // Of one that was killed while it began.
  const others = entries.filter((name) => !name.startsWith('begin.lock') && !name.includes('.partial-'))
  if (others.length > 0)
    throw usageError(
      `--out ${path} is not empty (${others[0]}) and has no sweep; nothing is overwritten: choose another folder`,
      {
        file: path,
        flag: 'out',
      },
    )
}

/** The first place where two sweeps differ. */
function requireSame(path: string, before: SweepHead, now: Omit<SweepHead, 'format' | 'id'>): void {
  // Where a run computes may change; what it computes not.
  const { format: _, id: __, slurm: ___, ...old } = before
  const { slurm: ____, ...wanted } = now
  const difference = differenceOf(old, JSON.parse(JSON.stringify(wanted)), '')
  if (!difference) return
  const [key, was, is] = difference
  throw usageError(
    `--out ${path} has another sweep: ${key} is ${short(was)} there and ${short(is)} here; choose another folder, or give the file that it was begun with`,
    { file: path, flag: 'out', expected: was, found: is },
  )
}

function differenceOf(a: unknown, b: unknown, at: string): [string, unknown, unknown] | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b ? undefined : [at || 'it', a, b]
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = differenceOf((a as never)[key], (b as never)[key], at === '' ? key : `${at}.${key}`)
    if (found) return found
  }
  return undefined
}

const short = (value: unknown): string => (value === undefined ? 'not there' : JSON.stringify(value).slice(0, 60))
