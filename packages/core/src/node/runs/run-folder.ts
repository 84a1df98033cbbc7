/**
 * The folder of a training run, which one process at a time may write:
 *
 *     config.json                the resolved configuration, written once
 *     run.json                   who has worked on it: a record per start
 *     metrics.jsonl              a record per logged step or evaluation
 *     events.out.tfevents.*      its numbers for TensorBoard
 *     samples.jsonl              generated text
 *     checkpoints/step-00000100  parameters, moments, state (checkpoint-files.ts)
 *     lock                       who is writing
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { isJsonObject, jsonBytes, parseJsonBytes } from '../../checkpoint/json-text.ts'
import { checkpointError, resourceError, usageError } from '../../errors.ts'
import { fileVersionRecord, scalarsRecord, wholeRecordBytes } from '../../training/run/event-file.ts'
import { type DiskAdvice, diskError } from '../disk/disk-error.ts'
import { type FileLock, tryFileLock } from '../disk/file-lock.ts'
import { makeFolder } from '../disk/make-folder.ts'
import { isPartial, removeLeftovers } from '../disk/partial.ts'
import { moveFile, writeWholeFile } from '../disk/whole-file.ts'
import type { JsonObject, TrainingCheckpoint } from './checkpoint-files.ts'
import { CheckpointStore, type OnDamaged } from './checkpoint-store.ts'
import { RunLog, runAdvice, wholeLineBytes } from './run-log.ts'

export interface RunOptions {
  /** How many of the newest checkpoints are kept; the best is kept besides. Default 3. */
  readonly keepCheckpoints?: number
}

export interface NewRunOptions extends RunOptions {
  /** Writes what the run needs besides its config, such as a tokenizer. Only then there is a run. */
  readonly prepare?: (folder: string) => Promise<void>
}

/** Figures of a step. `kind` says what they are of: train, evaluation, ... Numbers go to TensorBoard as `kind/figure`. */
export interface MetricsRecord {
  readonly step: number
  readonly kind: string
  readonly [figure: string]: number | string | readonly number[]
}

export interface TextSample {
  readonly step: number
  readonly prompt: string
  readonly text: string
}

/** A run as anybody may look at it, also while it is being written. */
export interface RunContents {
  readonly path: string
  readonly config: JsonObject
  readonly checkpoints: CheckpointStore
}

/** Who works on a run from a step on. */
export interface RunStart {
  readonly step: number
  readonly workers: number
  /** Computers, one per worker. */
  readonly hosts: readonly string[]
  /** Of each worker; null: the engine's choice. */
  readonly threads: number | null
}

interface Logs {
  readonly metrics: RunLog
  readonly samples: RunLog
  readonly events: RunLog
}

const configName = 'config.json'
const partialConfigName = `${configName}.partial`
const runName = 'run.json'
const lockName = 'lock'
const checkpointsName = 'checkpoints'
const eventsPrefix = 'events.out.tfevents.'

const advice = {
  full: 'free some space and begin again in the same folder, or choose another --out',
  denied: 'choose another --out',
}

export class RunFolder implements RunContents {
  readonly path: string
  readonly config: JsonObject
  readonly checkpoints: CheckpointStore
  readonly #lock: FileLock
  readonly #logs: Logs

  private constructor(contents: RunContents, lock: FileLock, logs: Logs) {
    this.path = contents.path
    this.config = contents.config
    this.checkpoints = contents.checkpoints
    this.#lock = lock
    this.#logs = logs
  }

  /**
   * Begins a run.
   *
   * @param path must not exist, or be an empty folder
   * @param config anything that JSON can say
   * @throws usage error when the folder has a run or other files, or is in use
   */
  static async create(path: string, config: JsonObject, options: NewRunOptions = {}): Promise<RunFolder> {
    const folder = resolve(path)
    await refuseTaken(folder)
    await makeFolder(folder).catch((error) => {
      throw diskError(error, folder, advice)
    })
    return holding(folder, advice, async (lock) => {
      await refuseTaken(folder) // by one who had the lock meanwhile
      await writeConfig(folder, config, options.prepare)
      return RunFolder.#opened(folder, lock, options)
    })
  }

  /** As `create` refuses, for who has long work to do before. */
  static refuseTaken(path: string): Promise<void> {
    return refuseTaken(resolve(path))
  }

  /**
   * Opens a run to go on with it. Call `resume` before anything is logged or saved.
   *
   * @throws usage error when there is no run, or another process is writing it; checkpoint error when its config is damaged
   */
  static async open(path: string, options: RunOptions = {}): Promise<RunFolder> {
    const { path: folder } = await readRun(path)
    return holding(folder, runAdvice, async (lock) => {
      const run = await RunFolder.#opened(folder, lock, options)
      await run.checkpoints.removeLeftovers()
      await removeLeftovers(folder, 'all')
      return run
    })
  }

  static async #opened(folder: string, lock: FileLock, { keepCheckpoints }: RunOptions): Promise<RunFolder> {
    const { config } = await readRun(folder)
    const checkpoints = new CheckpointStore(join(folder, checkpointsName), keepCheckpoints)
    return new RunFolder({ path: folder, config, checkpoints }, lock, await openLogs(folder))
  }

  /**
   * Goes back to the newest whole checkpoint: later records, samples and checkpoints are dropped, so that in the end the run
   * is as if it had not been interrupted. Without any checkpoint (undefined) that is the beginning.
   *
   * @param onDamaged told of each checkpoint that is passed over
   * @throws checkpoint error when there are checkpoints, but not one of them is whole
   */
  async resume(onDamaged: OnDamaged): Promise<TrainingCheckpoint | undefined> {
    const found = await this.checkpoints.latest(onDamaged)
    await this.checkpoints.removeAfter(found?.step ?? -1)
    const { metrics, samples, events } = this.#logs
    await metrics.truncate(found?.logBytes?.metrics ?? 0)
    await samples.truncate(found?.logBytes?.samples ?? 0)
    await events.truncate(found?.logBytes?.events ?? eventsHeaderBytes)
    return found
  }

  /** Adds a record to run.json: that it was begun, or gone on with. */
  async noteStart(start: RunStart): Promise<void> {
    const path = join(this.path, runName)
    const record = { ...start, time: new Date().toISOString() }
    await writeWholeFile(path, jsonBytes({ starts: [...(await readStarts(path)), record] }), runAdvice)
  }

  /** Adds a record to metrics.jsonl, with the time as its last field, and its numbers to the event file. */
  async log(record: MetricsRecord): Promise<void> {
    const time = new Date()
    await this.#logs.metrics.append(jsonLine({ ...record, time: time.toISOString() }))
    await this.#logs.events.append(scalarsRecord(time.getTime() / 1000, record.step, scalars(record)))
  }

  /** Adds a generated text to samples.jsonl. */
  sample({ step, prompt, text }: TextSample): Promise<void> {
    return this.#logs.samples.append(jsonLine({ step, prompt, text }))
  }

  /**
   * Saves a checkpoint; see CheckpointStore. What belongs to its step has to be logged before.
   *
   * @throws resource error when the disk is full; usage error when another process has taken the run over
   */
  async saveCheckpoint(checkpoint: Omit<TrainingCheckpoint, 'logBytes'>): Promise<void> {
    if (!(await this.#lock.isHeld())) {
      const isThere = await stat(this.path).then(
        () => true,
        () => false,
      )
      throw isThere
        ? usageError(`${this.path}: another process has taken this run over; nothing more is written here`, { file: this.path })
        : resourceError(`${this.path}: this run's folder was removed while it was training; nothing more can be saved`, {
            file: this.path,
          })
    }
    const { metrics, samples, events } = this.#logs
    const logBytes = { metrics: metrics.bytes, samples: samples.bytes, events: events.bytes }
    // First the logs, so that what a checkpoint counts on is on disk before it.
    await Promise.all([metrics.sync(), samples.sync(), events.sync()])
    await this.checkpoints.save({ ...checkpoint, logBytes })
  }

  /** Closes the files and lets others have the run. */
  async close(): Promise<void> {
    await Promise.all([this.#logs.metrics.close(), this.#logs.samples.close(), this.#logs.events.close()])
    await this.#lock.release()
  }
}

/**
 * Looks at a run without locking it.
 *
 * @throws usage error when there is none; checkpoint error when its config is damaged
 */
export async function readRun(path: string): Promise<RunContents> {
  const folder = resolve(path)
  const file = join(folder, configName)
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${folder}: is not the folder of a run: ${configName} cannot be read (${cause.code})`, { file, cause })
  })
  const config = parseJsonBytes(bytes, file)
  if (!isJsonObject(config)) throw checkpointError(`${file}: should be a JSON object`, { file, found: config })
  return { path: folder, config, checkpoints: new CheckpointStore(join(folder, checkpointsName)) }
}

async function refuseTaken(folder: string): Promise<void> {
  const entries: string[] = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw diskError(cause, folder, advice)
  })
  if (entries.includes(configName)) {
    throw usageError(`${folder} has a run already: go on with it with --resume, or choose another --out`, { file: folder })
  }
  // A process that was killed before its run began leaves its lock, and maybe some of what it prepared.
  const others = entries.filter((name) => !name.startsWith(lockName) && !isPartial(name))
  if (others.length === 0 || others.includes(partialConfigName)) return
  throw usageError(`${folder} is not empty (${others[0]}); nothing is overwritten: choose another --out`, { file: folder })
}

/** Nothing hangs on it: what cannot be read begins anew. */
async function readStarts(path: string): Promise<readonly unknown[]> {
  try {
    const { starts } = parseJsonBytes(await readFile(path), path) as { starts?: unknown }
    return Array.isArray(starts) ? starts : []
  } catch {
    return []
  }
}

/** Locks the run; whoever fails to do the work lets it go. */
async function holding<T>(folder: string, advice: DiskAdvice, work: (lock: FileLock) => Promise<T>): Promise<T> {
  const lock = await tryFileLock(join(folder, lockName)).catch((error) => {
    throw diskError(error, folder, advice)
  })
  if (!('release' in lock)) {
    const { owner } = lock
    const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another process'
    throw usageError(`${folder}: ${who} is training here; wait for it, stop it, or choose another --out`, {
      file: folder,
      found: owner,
    })
  }
  try {
    return await work(lock)
  } catch (error) {
    await lock.release()
    throw diskError(error, folder, advice)
  }
}

/** A folder with a config has a run, one with a partial config a run that did not get so far. */
async function writeConfig(folder: string, config: JsonObject, prepare?: (folder: string) => Promise<void>): Promise<void> {
  const temporary = join(folder, partialConfigName)
  await writeWholeFile(temporary, jsonBytes(config), advice)
  await prepare?.(folder)
  await moveFile(temporary, join(folder, configName))
}

async function openLogs(folder: string): Promise<Logs> {
  const metrics = await RunLog.open(join(folder, 'metrics.jsonl'), wholeLineBytes)
  const samples = await RunLog.open(join(folder, 'samples.jsonl'), wholeLineBytes)
  // Named as TensorBoard names them: it finds them by the middle part.
  const eventsName = (await readdir(folder)).find((name) => name.startsWith(eventsPrefix))
  const seconds = Math.floor(Date.now() / 1000)
  const events = await RunLog.open(join(folder, eventsName ?? `${eventsPrefix}${seconds}.${hostname()}`), wholeRecordBytes)
  if (events.bytes === 0) await events.append(fileVersionRecord(seconds))
  return { metrics, samples, events }
}

const eventsHeaderBytes = fileVersionRecord(0).byteLength

const jsonLine = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value)}\n`)

function scalars({ step: _, kind, ...figures }: MetricsRecord): [tag: string, value: number][] {
  return Object.entries(figures).flatMap(([name, value]): [string, number][] => {
    if (typeof value === 'number') return [[`${kind}/${name}`, value]]
    return typeof value === 'string' ? [] : value.map((item, i) => [`${kind}/${name}/${i}`, item])
  })
}
