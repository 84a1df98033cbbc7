/**
 * Writes a model's folder all or nothing: into a temporary folder beside the target, flushed to disk, then renamed.
 * Whatever goes wrong before the rename leaves no trace; after it, the folder is complete.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import { safetensorsIndexName } from '../../checkpoint/safetensors-index.ts'
import { type ByteSink, planShards, shardIndex, writeSafetensors } from '../../checkpoint/safetensors-writer.ts'
import { streamBytes, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import type { FolderContents } from '../../contents/folder-contents.ts'
import { isParscaleError, resourceError, usageError } from '../../errors.ts'
import { makeFolder } from './make-folder.ts'

export interface WriteProgress {
  /** Bytes of tensor data written so far, and in all. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface WriteFolderOptions {
  /** Tensor data per safetensors file, in bytes. Default 5e9, as transformers. */
  readonly maxShardBytes?: number
  readonly onProgress?: (progress: WriteProgress) => void
  readonly signal?: AbortSignal
  /** Name of a file that lists all others with their lengths, by which `isWholeFolder` knows them again. Default: none. */
  readonly listing?: string
}

/**
 * Writes a model in Hugging Face's layout.
 *
 * @param directory must not exist, or be an empty folder
 * @throws usage error when the target is taken; resource error when the disk is full; the signal's reason when aborted
 */
export function writeModelFolder(directory: string, contents: FolderContents, options: WriteFolderOptions = {}): Promise<void> {
  return writeWholeFolder(directory, (temporary) => writeContents(temporary, contents, options), options)
}

/**
 * A folder of whatever `write` puts into it, all or nothing.
 *
 * @param write given a folder that is not yet in its place; it flushes what it writes
 * @throws as writeModelFolder
 */
export async function writeWholeFolder(
  directory: string,
  write: (temporary: string) => Promise<void>,
  { listing, signal }: Pick<WriteFolderOptions, 'listing' | 'signal'> = {},
): Promise<void> {
  const target = resolve(directory)
  await refuseTaken(target)
  const parent = dirname(target)
  const temporary = join(parent, `.${basename(target)}${partialPart}${randomUUID()}`)
  try {
    await makeFolder(parent).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') throw unwritable(target, cause)
      throw cause
    })
    await mkdir(temporary)
    await write(temporary)
    if (listing !== undefined) {
      const lengths = jsonBytes(await fileLengths(temporary))
      await writeFile(join(temporary, listing), (sink) => sink.write(lengths))
    }
    await syncFolder(temporary)
    signal?.throwIfAborted()
    await moveInto(temporary, target)
    await syncFolder(parent)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw namedError(error, target)
  }
}

const partialPart = '.partial-'

/** Removes the temporary folders that killed processes left. For a parent that nobody else is writing a model into. */
export async function removePartialFolders(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (name.startsWith('.') && name.includes(partialPart)) await rm(join(parent, name), { recursive: true, force: true })
  }
}

async function writeContents(folder: string, contents: FolderContents, options: WriteFolderOptions): Promise<void> {
  const { onProgress, signal } = options
  const all = new Map([...(contents.folders ?? []), ['', contents]])
  const totalBytes = [...all.values()].flatMap(({ tensors }) => tensors).reduce((sum, tensor) => sum + streamBytes(tensor), 0)
  let doneBytes = 0
  const watched = (tensor: TensorStream): TensorStream => ({
    ...tensor,
    async *chunks() {
      for await (const bytes of tensor.chunks()) {
        signal?.throwIfAborted()
        yield bytes
        doneBytes += bytes.byteLength
        onProgress?.({ doneBytes, totalBytes })
      }
    },
  })
  for (const [path, { files, tensors }] of all) {
    const inner = join(folder, path)
    await mkdir(inner, { recursive: true })
    await writeFiles(inner, { files, tensors: tensors.map(watched) }, options)
    if (path) for (const made of [inner, dirname(inner)]) await syncFolder(made)
  }
}

/** Length in bytes of every file, by its path within the folder. */
async function fileLengths(folder: string): Promise<Record<string, number>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const lengths: Record<string, number> = {}
  for (const entry of entries.filter((entry) => entry.isFile())) {
    const path = join(entry.parentPath, entry.name)
    lengths[relative(folder, path)] = (await stat(path)).size
  }
  return lengths
}

/** Whether a folder has everything that its listing names, each file of its length. */
export async function isWholeFolder(folder: string, listing: string): Promise<boolean> {
  try {
    const lengths: Record<string, number> = JSON.parse(await readFile(join(folder, listing), 'utf8'))
    const checks = Object.entries(lengths).map(async ([name, length]) => (await stat(join(folder, name))).size === length)
    return checks.length > 0 && (await Promise.all(checks)).every(Boolean)
  } catch {
    return false // the folder, the listing or a file is not there, or the listing is cut short
  }
}

async function writeFiles(folder: string, { files, tensors }: FolderContents, options: WriteFolderOptions): Promise<void> {
  const shards = planShards(tensors, options.maxShardBytes ?? 5e9)
  for (const shard of shards) await writeFile(join(folder, shard.file), (sink) => writeSafetensors(sink, shard.tensors))
  const small = new Map(files)
  if (shards.length > 1) small.set(safetensorsIndexName, jsonBytes(shardIndex(shards)))
  for (const [name, bytes] of small) await writeFile(join(folder, name), (sink) => sink.write(bytes))
}

async function writeFile(path: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await write(fileSink(file))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A sink at the end of an open file. */
export function fileSink(file: FileHandle): ByteSink {
  return {
    async write(bytes) {
      // A write may take less than it is given: the disk's last bytes, say, before the next one fails.
      for (let done = 0; done < bytes.byteLength; ) done += (await file.write(bytes, done, bytes.byteLength - done)).bytesWritten
    },
  }
}

/** For who has long work to do before. @throws usage error when the target of writeModelFolder is taken */
export async function refuseTaken(directory: string): Promise<void> {
  const target = resolve(directory)
  const entries = await readdir(target).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    if (cause.code === 'ENOTDIR') throw taken(target, 'is a file')
    throw cause
  })
  if (entries.length > 0) throw taken(target, 'is not empty')
}

const taken = (target: string, what: string) =>
  usageError(`${target} ${what}; nothing is overwritten: choose another folder or remove it first`, { file: target })

async function moveInto(temporary: string, target: string): Promise<void> {
  // An empty folder may stand there. Not every system renames over one; a full one is left alone by both calls.
  await rmdir(target).catch(() => undefined)
  try {
    await rename(temporary, target)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR' || code === 'EPERM') {
      throw taken(target, 'was made by somebody else meanwhile')
    }
    throw cause
  }
}

/** Makes names in a folder last: a rename is on disk only once its folder is. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open folders, and needs no such thing.
  const folder = await open(path, 'r').catch(() => undefined)
  try {
    await folder?.sync()
  } finally {
    await folder?.close()
  }
}

function namedError(error: unknown, target: string): unknown {
  if (isParscaleError(error)) return error
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return resourceError(`${target}: the disk is full; nothing was left behind. Free some space or choose another folder`, {
      file: target,
      cause: error,
    })
  }
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') {
    return unwritable(target, error as NodeJS.ErrnoException)
  }
  return error
}

const unwritable = (target: string, cause: NodeJS.ErrnoException) =>
  usageError(`${target}: cannot be written (${cause.code}); choose another folder`, { file: target, cause })
