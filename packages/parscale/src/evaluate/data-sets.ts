/** Splits of data sets: local files (JSON lines, JSON, Parquet, text), or the hub's through its Parquet files. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, extname, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { checkpointError, usageError } from '@parscale/core/internal'
import type { Document, TaskConfig } from '@parscale/core/internal/evaluation/tasks'
import { openFileSource, parquetRows } from '@parscale/core/internal/node'
import { type PullOptions, pullDataset } from '../hub/pull-dataset.ts'
import { whyUnread } from '../terminal/why-unread.ts'

export interface DataOptions extends PullOptions {
  /** Files or folders in place of a task's own data set, by task or data set. */
  readonly local?: ReadonlyMap<string, string> | undefined
  readonly signal?: AbortSignal | undefined
}

/** Data sets that several tasks share are read once. */
export class DataSets {
  readonly #options: DataOptions
  readonly #splits = new Map<string, Promise<readonly Document[]>>()
  /** Of the hub's data sets: what was read, for the results. */
  readonly revisions = new Map<string, string>()

  constructor(options: DataOptions) {
    this.#options = options
  }

  /** @throws usage error for a split that there is not; errors of files and of the hub, naming the task */
  split(config: TaskConfig, split: string): Promise<readonly Document[]> {
    const { dataset_path: path, dataset_name: name, dataset_kwargs: kwargs } = config.raw
    const key = JSON.stringify([path, name, kwargs, split, this.#localOf(config), dirname(config.file)])
    const known = this.#splits.get(key)
    if (known) return known
    const read = this.#read(config, split).then((rows) => sameColumns(rows))
    this.#splits.set(key, read)
    return read
  }

  #localOf({ task, raw }: TaskConfig): string | undefined {
    return this.#options.local?.get(task) ?? this.#options.local?.get(raw.dataset_path ?? '')
  }

  async #read(config: TaskConfig, split: string): Promise<readonly Document[]> {
    const { raw, task, file } = config
    const local = this.#localOf(config)
    if (local !== undefined)
      return await this.#readAll(await localFiles(local, split, raw.dataset_name ?? undefined, task), undefined)
    const { dataset_path: path, dataset_name: name, dataset_kwargs: kwargs } = raw
    if (!path)
      throw usageError(`${task}: ${file} names no dataset_path; give --data ${task}=FILE`, { file, expected: 'dataset_path' })
    if (builders.has(path)) return await this.#readAll(await dataFiles(config, split), path, kwargs?.field ?? undefined)
    const beside = isAbsolute(path) ? path : join(dirname(file), path)
    for (const folder of [path, beside]) {
      if ((await stat(folder).catch(() => undefined))?.isDirectory())
        return await this.#readAll(await localFiles(folder, split, name ?? undefined, task), undefined)
    }
    const pulled = await pullDataset(path, {
      ...this.#options,
      name: name ?? undefined,
      split,
      revision: kwargs?.revision ?? undefined,
    })
    this.revisions.set(path, pulled.commit)
    return await this.#readAll(pulled.files, undefined)
  }

  async #readAll(files: readonly string[], builder: string | undefined, field?: string): Promise<Document[]> {
    const rows: Document[] = []
    for (const file of files) for await (const row of readRows(file, builder, field, this.#options.signal)) rows.push(row)
    return rows
  }
}

/** `datasets`' own loaders of files. */
const builders = new Set(['json', 'parquet', 'text'])

/** Of `dataset_kwargs.data_files`: a file or files of one split, or by split. A path is looked up here, then beside the task's file. */
async function dataFiles({ raw, task, file }: TaskConfig, split: string): Promise<string[]> {
  const files = raw.dataset_kwargs?.data_files
  if (!files) throw usageError(`${task}: dataset_path ${raw.dataset_path} needs dataset_kwargs.data_files in ${file}`, { file })
  const bySplit = typeof files === 'string' || Array.isArray(files) ? { train: files } : files
  const found = bySplit[split]
  if (found === undefined)
    throw usageError(`${task}: dataset_kwargs.data_files has no split ${split}, but ${Object.keys(bySplit).join(', ')}`, { file })
  return await Promise.all(
    [found].flat().map(async (path) => {
      const beside = join(dirname(file), path)
      return isAbsolute(path) || (await isFile(path)) || !(await isFile(beside)) ? path : beside
    }),
  )
}

const isFile = async (path: string) => (await stat(path).catch(() => undefined))?.isFile() === true

const endings = ['.jsonl', '.json', '.parquet', '.jsonl.gz']

/** A file holds every split; a folder has a file for each, in a folder of the configuration's name where there is one. */
async function localFiles(path: string, split: string, name: string | undefined, task: string): Promise<string[]> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${task}: data ${path}: ${whyUnread(cause)}`, { file: path, cause })
  })
  if (found.isFile()) return [path]
  for (const folder of name === undefined ? [path] : [join(path, name), path])
    for (const ending of endings) if (await isFile(join(folder, split + ending))) return [join(folder, split + ending)]
  throw usageError(`${task}: ${path} has no split ${split}; expected ${endings.map((ending) => split + ending).join(' or ')}`, {
    file: path,
    expected: split,
  })
}

async function* readRows(
  file: string,
  builder: string | undefined,
  field: string | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Document> {
  if (extname(file) === '.parquet' || builder === 'parquet') {
    const source = await openFileSource(file)
    try {
      yield* parquetRows(source, signal)
    } finally {
      await source.close()
    }
    return
  }
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${file}: ${whyUnread(cause)}`, { file, cause })
  })
  const text = (extname(file) === '.gz' ? await unpacked(bytes, file) : bytes).toString('utf8')
  if (builder === 'text') {
    for (const line of text.replace(/\n$/, '').split('\n')) yield { text: line }
    return
  }
  if (/^\s*\[/.test(text) || field !== undefined) {
    yield* jsonRows(text, file, field)
    return
  }
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() !== '') yield mustBeObject(parse(line, `${file}, line ${i + 1}`), `${file}, line ${i + 1}`)
  }
}

/** Of the largest data sets of questions there are. */
const maxUnpackedBytes = 2 ** 29

async function unpacked(bytes: Buffer, file: string): Promise<Buffer> {
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: maxUnpackedBytes })
  } catch (cause) {
    const isLarge = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    throw checkpointError(`${file}: ${isLarge ? 'holds more than 512 MiB' : 'is no whole gzip file'}`, { file, cause })
  }
}

function* jsonRows(text: string, file: string, field: string | undefined): Generator<Document> {
  const whole = parse(text, file)
  const rows = field === undefined ? whole : (whole as Record<string, unknown>)[field]
  if (!Array.isArray(rows))
    throw checkpointError(`${file}: expected a list of objects${field ? ` under ${field}` : ''}`, { file })
  for (const [i, row] of rows.entries()) yield mustBeObject(row, `${file}, entry ${i + 1}`)
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw checkpointError(`${where}: is no JSON: ${(cause as Error).message}`, { file: where, cause })
  }
}

function mustBeObject(row: unknown, where: string): Document {
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Document
  throw checkpointError(`${where}: expected an object`, { file: where, found: row })
}

/** As a table has them: every row has every column, null where its line does not. */
function sameColumns(rows: readonly Document[]): readonly Document[] {
  const columns = new Set(rows.flatMap((row) => Object.keys(row)))
  const none = Object.fromEntries([...columns].map((column) => [column, null]))
  return rows.map((row) => (Object.keys(row).length === columns.size ? row : { ...none, ...row }))
}
