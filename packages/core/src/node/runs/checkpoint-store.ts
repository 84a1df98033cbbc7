/**
 * The checkpoints of a run, `step-00000100` and so on, each of them there whole or not at all: written into a temporary
 * folder, flushed, renamed, declared whole by a marker. The last few and the best are kept.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkpointError, isParscaleError, type ParscaleError } from '../../errors.ts'
import { discard } from '../disk/discard.ts'
import { removeLeftovers } from '../disk/partial.ts'
import { removeFolder, writeWholeFolder } from '../disk/whole-folder.ts'
import {
  checkpointBytes,
  isUnfinished,
  readCheckpoint,
  readState,
  type SavedState,
  type TrainingCheckpoint,
  writeCheckpointFiles,
  writeMarker,
} from './checkpoint-files.ts'

/** One that can be read, as far as its small files tell. */
export interface CheckpointEntry extends SavedState {
  readonly path: string
}

/** Told of each checkpoint that had to be passed over: which file of it, and what is wrong. */
export type OnDamaged = (message: string) => void

export class CheckpointStore {
  readonly path: string
  readonly #keepLast: number

  /** @param keepLast how many of the newest checkpoints are kept; the best is kept besides */
  constructor(path: string, keepLast = 3) {
    this.path = path
    this.#keepLast = keepLast
  }

  /**
   * Saves a checkpoint, then removes those that are no longer needed. A step that is there already, whole, stays as it is.
   *
   * @throws resource error when the disk is full: what was there before is intact, and nothing half-written is left
   */
  async save(checkpoint: TrainingCheckpoint): Promise<void> {
    const target = join(this.path, folderName(checkpoint.step))
    if (await this.#isWhole(target)) return
    const needed = checkpointBytes(checkpoint)
    const lost = 'It was not saved; the ones before it are intact.'
    const advice = {
      full: `the checkpoint takes ${needed} bytes. ${lost} Free some space and go on with --resume`,
      denied: `${lost} Go on with --resume once it can`,
    }
    try {
      let marker: Awaited<ReturnType<typeof writeCheckpointFiles>>
      const write = async (partial: string) => {
        marker = await writeCheckpointFiles(partial, checkpoint)
      }
      await writeWholeFolder(target, write, { advice, replace: async () => true }) // a damaged one, if any
      await writeMarker(target, marker!, advice)
    } catch (error) {
      if (await isUnfinished(target)) await discard(target)
      throw error
    }
    await this.#prune()
  }

  /** In order of steps; damaged ones are left out. */
  async list(): Promise<CheckpointEntry[]> {
    const entries: CheckpointEntry[] = []
    for (const step of await this.#steps()) {
      const path = join(this.path, folderName(step))
      const saved = await readState(path).catch(ignoreDamage)
      if (saved) entries.push({ ...saved, path })
    }
    return entries
  }

  /**
   * The newest checkpoint that is whole; undefined where there is none and none can be missed.
   *
   * @throws checkpoint error when there are checkpoints, but not one of them is whole
   */
  async latest(onDamaged: OnDamaged): Promise<TrainingCheckpoint | undefined> {
    const steps = (await this.#steps()).reverse()
    const errors: ParscaleError[] = []
    for (const [i, step] of steps.entries()) {
      const folder = join(this.path, folderName(step))
      const found = await readCheckpoint(folder).catch(asDamage)
      if (!isParscaleError(found)) return found
      errors.push(found)
      const next = steps[i + 1]
      // A run that was killed while its first checkpoint was written has lost nothing that it had promised.
      if (steps.length === 1 && (await isUnfinished(folder))) onDamaged(`${found.message}; starting from the beginning`)
      else if (next !== undefined) onDamaged(`${found.message}; going back to step ${next}`)
      else throw allDamaged(this.path, errors)
    }
    return undefined
  }

  /**
   * The whole checkpoint of the smallest loss, the earliest of equals; undefined where none has a loss.
   *
   * @throws checkpoint error when there are some with a loss, but not one of them is whole
   */
  async best(onDamaged: OnDamaged): Promise<TrainingCheckpoint | undefined> {
    const errors: ParscaleError[] = []
    for (const { path } of byLoss(await this.list())) {
      const found = await readCheckpoint(path).catch(asDamage)
      if (!isParscaleError(found)) return found
      errors.push(found)
      onDamaged(`${found.message}; taking the next best`)
    }
    if (errors.length > 0) throw allDamaged(this.path, errors)
    return undefined
  }

  /** Removes what killed processes left half-written or half-removed. For the one process that holds the run's lock. */
  async removeLeftovers(): Promise<void> {
    await removeLeftovers(this.path, 'all')
  }

  /** Removes the checkpoints of later steps, damaged ones included. */
  async removeAfter(step: number): Promise<void> {
    for (const later of (await this.#steps()).filter((other) => other > step))
      await removeFolder(join(this.path, folderName(later)))
  }

  async #prune(): Promise<void> {
    const steps = await this.#steps()
    if (steps.length <= this.#keepLast) return
    const kept = new Set(steps.slice(-this.#keepLast))
    const best = byLoss(await this.list())[0]
    if (best) kept.add(best.step)
    for (const step of steps.filter((other) => !kept.has(other))) await removeFolder(join(this.path, folderName(step)))
  }

  async #isWhole(folder: string): Promise<boolean> {
    if (await isUnfinished(folder)) return false
    return !isParscaleError(await readCheckpoint(folder).catch(asDamage))
  }

  /** Steps that have a folder, ascending. */
  async #steps(): Promise<number[]> {
    const steps = (await this.#names()).flatMap((name) => /^step-(\d{8,})$/.exec(name)?.[1] ?? []).map(Number)
    return steps.sort((a, b) => a - b)
  }

  async #names(): Promise<string[]> {
    return readdir(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
  }
}

const folderName = (step: number): string => `step-${String(step).padStart(8, '0')}`

const byLoss = (entries: readonly CheckpointEntry[]): CheckpointEntry[] =>
  entries.filter(({ loss }) => loss !== undefined).sort((a, b) => a.loss! - b.loss!)

/** What is wrong with a checkpoint is a value here; every other failure is not about one checkpoint. */
function asDamage(error: unknown): ParscaleError {
  if (isParscaleError(error) && error.kind === 'checkpoint') return error
  throw error
}

const ignoreDamage = (error: unknown): undefined => void asDamage(error)

function allDamaged(path: string, errors: readonly ParscaleError[]): ParscaleError {
  const list = errors.map(({ message }) => `\n  ${message}`).join('')
  return checkpointError(
    `${path}: no checkpoint is whole; restore one from a backup, or begin again with another --out:${list}`,
    {
      file: path,
      cause: errors[0],
    },
  )
}
