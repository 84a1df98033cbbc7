/** Reads a model's files from where they lie into the origin private file system, or into memory where that does not work. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { checkpointError } from '../../errors.ts'
import { gigabytes } from '../model/memory.ts'
import type { ModelSource, SourceFile } from '../sources/source.ts'
import {
  fileName,
  isQuotaError,
  type KeptFile,
  keyOf,
  type Manifest,
  manifestName,
  openWriter,
  readManifest,
  storageRoot,
  verdictName,
  writeManifest,
} from './storage.ts'

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** Bytes of all files so far, and of all files where every size is known. */
  readonly onProgress?: (file: string, done: number, total: number | undefined) => void
}

/** Files as blobs, by path. */
export type Blobs = ReadonlyMap<string, Blob>

export interface ReadFiles {
  readonly blobs: Blobs
  /** Where they are kept. */
  readonly key?: string
  /** Why they are not. */
  readonly note?: string
}

/** Everything into memory: the browser may put blobs on its disk. @throws as `SourceFile.open`; checkpoint error for other bytes */
export async function readIntoMemory(files: readonly SourceFile[], options: ReadOptions): Promise<Blobs> {
  const progress = progressOf(files, options)
  const blobs = new Map<string, Blob>()
  for (const file of files) {
    if (file.blob) {
      blobs.set(file.path, file.blob)
      continue
    }
    const hash = sha256.create()
    const parts: Uint8Array<ArrayBuffer>[] = []
    const { stream } = await file.open(0, { signal: options.signal })
    for await (const bytes of readAll(stream, options.signal)) {
      hash.update(bytes)
      parts.push(bytes)
      progress(file.path, bytes.length)
    }
    const blob = new Blob(parts)
    mustBeWhole(file, blob.size, bytesToHex(hash.digest()))
    blobs.set(file.path, blob)
  }
  return blobs
}

/** What is kept of a source, if it is whole; needs no network. */
export async function openKept(key: string): Promise<{ manifest: Manifest; blobs: Blobs } | undefined> {
  const folder = await (await storageRoot())?.getDirectoryHandle(key).catch(() => undefined)
  const manifest = folder && (await readManifest(folder))
  if (!folder || !manifest?.complete) return undefined
  const blobs = new Map<string, Blob>()
  for (const { path, size } of manifest.files) {
    const blob = await fileOf(folder, path)
    if (blob?.size !== size) return undefined
    blobs.set(path, blob)
  }
  return { manifest, blobs }
}

/**
 * Keeps what is not there yet, and goes on with a file that was cut off. One page at a time does so for a model; others wait.
 *
 * @param reload reads everything anew
 * @throws as readIntoMemory; storage that is full or missing is no error but a note
 */
export async function keepFiles(
  source: ModelSource,
  files: readonly SourceFile[],
  { reload = false, ...options }: ReadOptions & { readonly reload?: boolean },
): Promise<ReadFiles> {
  const root = await storageRoot()
  if (!root)
    return {
      blobs: await readIntoMemory(files, options),
      note: 'The model is not kept: this browser gives the page no file system (a private window does not).',
    }
  const key = keyOf(source.identity)
  return await withLock(`parscale ${key}`, async () => {
    try {
      if (reload) await root.removeEntry(key, { recursive: true }).catch(() => {})
      return { blobs: await keepIn(root, key, source, files, options), key }
    } catch (error) {
      if (!(error instanceof StorageFailure)) throw error
      await root.removeEntry(key, { recursive: true }).catch(() => {})
      return { blobs: await readIntoMemory(files, options), note: `The model is not kept: ${error.message}.` }
    }
  })
}

/** The file system's fault, not the source's. */
class StorageFailure extends Error {}

async function keepIn(
  root: FileSystemDirectoryHandle,
  key: string,
  source: ModelSource,
  files: readonly SourceFile[],
  options: ReadOptions,
): Promise<Blobs> {
  const storage = <T>(work: Promise<T>) => work.catch((cause) => Promise.reject(storageFailure(cause)))
  const folder = await storage(root.getDirectoryHandle(key, { create: true }))
  const before = await readManifest(folder)
  const kept = new Map<string, KeptFile>()
  const blobs = new Map<string, Blob>()
  for (const file of files) {
    const known = before?.files.find(({ path }) => path === file.path)
    const blob = known && (await fileOf(folder, file.path))
    if (!known || blob?.size !== known.size || !isSame(known, file)) continue
    kept.set(file.path, known)
    blobs.set(file.path, blob)
  }
  await requireRoom(files.filter(({ path }) => !kept.has(path)))
  const progress = progressOf(files, options)
  for (const { path, size } of kept.values()) progress(path, size)
  const manifest = (rest: Partial<Manifest>): Manifest => ({
    ...{ version: 1, name: source.name, gguf: source.gguf, keptAt: Date.now(), complete: false, files: [...kept.values()] },
    ...rest,
  })
  for (const file of files) {
    if (kept.has(file.path)) continue
    const { path, tag } = file
    const handle = await storage(folder.getFileHandle(fileName(path), { create: true }))
    const begun = tag !== undefined && before?.partial?.path === path && before.partial.tag === tag
    const there = begun ? await handle.getFile() : new Blob([])
    await storage(writeManifest(folder, manifest({ partial: tag === undefined ? undefined : { path, tag } })))
    const hash = sha256.create()
    // All of it, and not yet said so: there is no rest to ask for.
    const begin = there.size === file.size ? 0 : there.size
    const { from, stream } = await file.open(begin, { signal: options.signal })
    if (from > 0) for await (const bytes of readAll(there.stream(), options.signal)) hash.update(bytes)
    progress(path, from)
    const writer = await storage(openWriter(handle, from))
    let size = from
    try {
      for await (const bytes of readAll(stream, options.signal)) {
        hash.update(bytes)
        await storage(writer.write(bytes))
        size += bytes.length
        progress(path, bytes.length)
      }
    } finally {
      await storage(writer.close())
    }
    const digest = bytesToHex(hash.digest())
    try {
      mustBeWhole(file, size, digest)
    } catch (error) {
      await folder.removeEntry(fileName(path))
      throw error
    }
    kept.set(path, { path, size, sha256: digest, tag })
    blobs.set(path, await storage(handle.getFile()))
  }
  await storage(writeManifest(folder, manifest({ complete: true })))
  await dropOthers(folder, files)
  return blobs
}

/** Files of an earlier version of the model. */
async function dropOthers(folder: FileSystemDirectoryHandle, files: readonly SourceFile[]): Promise<void> {
  const names = new Set([manifestName, verdictName, ...files.map(({ path }) => fileName(path))])
  const others: string[] = []
  for await (const name of folder.keys()) if (!names.has(name)) others.push(name)
  for (const name of others) await folder.removeEntry(name).catch(() => {})
}

async function fileOf(folder: FileSystemDirectoryHandle, path: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(fileName(path))).getFile()
  } catch {
    return undefined
  }
}

/** What the source says of a file now is what was kept of it. Of a file with neither digest nor tag nobody knows: it is read anew. */
const isSame = (known: KeptFile, { size, sha256, tag }: SourceFile): boolean =>
  (size === undefined || size === known.size) &&
  (sha256 === undefined ? tag !== undefined && tag === known.tag : sha256 === known.sha256)

/** Said before anything is fetched. Browsers count more than the bytes of files: a fiftieth stays free. */
async function requireRoom(files: readonly SourceFile[]): Promise<void> {
  const needed = files.reduce((sum, { size = 0 }) => sum + size, 0)
  const { usage = 0, quota = Number.POSITIVE_INFINITY } = (await navigator.storage.estimate?.()) ?? {}
  if (needed * 1.02 > quota - usage)
    throw new StorageFailure(
      `the browser’s storage is full: ${gigabytes(needed)} are needed, ${gigabytes(Math.max(0, quota - usage))} are left; delete a kept model`,
    )
}

function storageFailure(cause: unknown): unknown {
  if (!(cause instanceof DOMException)) return cause
  return new StorageFailure(
    isQuotaError(cause)
      ? 'the browser’s storage is full; delete a kept model'
      : `the browser’s file system says ${cause.message}`,
    { cause },
  )
}

function mustBeWhole({ path, size, sha256 }: SourceFile, found: number, digest: string): void {
  if (size !== undefined && found !== size)
    throw checkpointError(`${path}: ${found} bytes came, ${size} were expected; load it again`, {
      ...{ file: path, expected: size, found },
    })
  if (sha256 !== undefined && digest !== sha256)
    throw checkpointError(
      `${path}: was damaged on its way (SHA-256 ${digest.slice(0, 12)}…, expected ${sha256.slice(0, 12)}…); load it again`,
      {
        ...{ file: path, expected: sha256, found: digest },
      },
    )
}

function progressOf(files: readonly SourceFile[], { onProgress }: ReadOptions): (path: string, bytes: number) => void {
  const sizes = files.map(({ size }) => size)
  const total = sizes.every((size) => size !== undefined) ? sizes.reduce((sum, size) => sum + size, 0) : undefined
  let done = 0
  return (path, bytes) => {
    done += bytes
    onProgress?.(path, done, total)
  }
}

async function* readAll(stream: ReadableStream<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader()
  try {
    for (;;) {
      signal?.throwIfAborted()
      const { done, value } = await reader.read()
      if (done) return
      yield value as Uint8Array<ArrayBuffer>
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

const withLock = <T>(name: string, work: () => Promise<T>): Promise<T> =>
  navigator.locks ? (navigator.locks.request(name, work) as Promise<T>) : work()
