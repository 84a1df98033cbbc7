/**
 * Files by what is in them, whatever their names: the cache holds one copy of what is made of the same bytes. Hashing gigabytes at each
 * start would take seconds, so the hash of a file is remembered (`sources/` in the cache) with its size, times, inode and device.
 * A file whose content is replaced has another time of change, which no program can set back.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import { isCompanion } from '../../contents/folder-contents.ts'
import { checkpointError } from '../../errors.ts'
import { openToRead } from '../disk/open-file.ts'
import { writeWholeFile } from '../disk/whole-file.ts'
import { isGgufFile } from './is-gguf.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface ContentOptions {
  readonly cacheDirectory: string
  readonly signal?: AbortSignal | undefined
  /** Told the length of each piece that is hashed. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

interface Known {
  readonly path: string
  readonly version: string
  readonly sha256: string
  /** False: written so shortly before it was hashed that another write could have gone unnoticed. It is hashed again. */
  readonly settled: boolean
}

/** Coarser than the clock of any file system. */
const settledAfterMs = 2_000
const folderName = 'sources'

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 24)
const recordPath = (cacheDirectory: string, key: string): string => join(cacheDirectory, folderName, `${short(key)}.json`)

/** The SHA-256 of a file where it is known already: nothing is read but the record. */
export async function knownContentOf(
  file: string,
  { cacheDirectory }: Pick<ContentOptions, 'cacheDirectory'>,
): Promise<string | undefined> {
  const path = await realpath(file)
  const known = await readRecord<Known>(recordPath(cacheDirectory, path))
  const isIt = known?.settled && known.path === path && known.version === (await look(path)).version
  return isIt ? known.sha256 : undefined
}

/** SHA-256 of a file, in hex. @throws the file system's errors; the signal's reason when aborted */
export async function contentOf(file: string, options: ContentOptions): Promise<string> {
  const path = await realpath(file)
  const record = recordPath(options.cacheDirectory, path)
  const known = await readRecord<Known>(record)
  for (let tries = 0; tries < 3; tries++) {
    const { version, settled } = await look(path)
    if (known?.settled && known.version === version && known.path === path) return known.sha256
    const sha256 = await hashFile(path, options)
    if ((await look(path)).version !== version) continue // written to meanwhile
    await writeRecord(record, { path, version, sha256, settled } satisfies Known)
    return sha256
  }
  throw checkpointError(`${path}: changes while it is read; wait until whoever writes it is done`, { file: path })
}

/** What a model consists of: one hash over names and contents. @param path a model's folder or a .gguf file */
export async function modelContent(path: string, options: ContentOptions): Promise<string> {
  const contents: (readonly [string, string])[] = []
  for (const [name, file] of await filesOfModel(path)) contents.push([name, await contentOf(file, options)])
  return short(JSON.stringify(contents))
}

/** The same where it is known already: no weight is read. */
export async function knownModelContent(
  path: string,
  options: Pick<ContentOptions, 'cacheDirectory'>,
): Promise<string | undefined> {
  const contents: (readonly [string, string])[] = []
  for (const [name, file] of await filesOfModel(path)) {
    const content = await knownContentOf(file, options)
    if (content === undefined) return undefined
    contents.push([name, content])
  }
  return short(JSON.stringify(contents))
}

/** The weights and small files of a model and of the stream sets in it, by their names within it. */
async function filesOfModel(path: string): Promise<Map<string, string>> {
  if (await isGgufFile(path)) return new Map([['', path]])
  const files = new Map<string, string>()
  for (const folder of [path, ...(await streamSetFolders(path))])
    for (const name of (await readdir(folder)).sort())
      if (isCompanion(name) || /\.safetensors(\.index\.json)?$/.test(name))
        files.set(join(folder, name).slice(path.length), join(folder, name))
  return files
}

export interface Claim {
  readonly path: string
  /** What is kept of it, as `packed/backbone`. */
  readonly what: string
  readonly content: string
}

/** The content from which something was last made for a path. */
export async function claimOf(what: string, path: string, cacheDirectory: string): Promise<string | undefined> {
  return (await readRecord<Claim>(recordPath(cacheDirectory, `${what} of ${path}`)))?.content
}

/** Notes what was made for a path, so that it can be removed once something else stands there. */
export async function claim({ what, path, content }: Claim, cacheDirectory: string): Promise<void> {
  if ((await claimOf(what, path, cacheDirectory)) !== content)
    await writeRecord(recordPath(cacheDirectory, `${what} of ${path}`), { path, what, content } satisfies Claim)
}

/** Whether something was made of a content for another path that is still there. */
export async function isClaimed(content: string, except: string, cacheDirectory: string): Promise<boolean> {
  for (const name of await readdir(join(cacheDirectory, folderName)).catch(() => [])) {
    const known = await readRecord<Claim>(join(cacheDirectory, folderName, name))
    if (known?.content === content && known.path !== except && (await look(known.path).catch(() => undefined))) return true
  }
  return false
}

/** Forgets files that are gone. */
export async function forgetGoneFiles(cacheDirectory: string): Promise<void> {
  for (const name of await readdir(join(cacheDirectory, folderName)).catch(() => [])) {
    const record = join(cacheDirectory, folderName, name)
    const known = await readRecord<Known>(record)
    if (known?.path && !(await look(known.path).catch(() => undefined))) await rm(record, { force: true })
  }
}

/** A text that follows from some content, worked out once. */
export async function remembered(key: string, cacheDirectory: string, work: () => Promise<string>): Promise<string> {
  const record = recordPath(cacheDirectory, key)
  const known = await readRecord<{ key: string; value: string }>(record)
  if (known?.key === key && typeof known.value === 'string') return known.value
  const value = await work()
  await writeRecord(record, { key, value })
  return value
}

async function look(path: string): Promise<{ version: string; settled: boolean }> {
  const { size, mtimeNs, ctimeNs, ino, dev, mtimeMs, ctimeMs } = await stat(path, { bigint: true })
  const latest = Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs)
  return { version: [size, mtimeNs, ctimeNs, ino, dev].join('-'), settled: Date.now() - latest > settledAfterMs }
}

async function hashFile(path: string, { signal, onBytes }: ContentOptions): Promise<string> {
  const hash = createHash('sha256')
  const file = await openToRead(path)
  try {
    const piece = new Uint8Array(1 << 20)
    for (let at = 0; ; ) {
      signal?.throwIfAborted()
      const { bytesRead } = await file.read(piece, 0, piece.length, at)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(piece.subarray(0, bytesRead))
      at += bytesRead
      onBytes?.(bytesRead)
    }
  } finally {
    await file.close()
  }
}

async function readRecord<T extends object>(path: string): Promise<T | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return typeof value === 'object' && value !== null ? (value as T) : undefined
  } catch {
    return undefined // not there, or cut short
  }
}

/** A cache that cannot be written to remembers nothing. */
const writeRecord = (path: string, record: object): Promise<void> => writeWholeFile(path, jsonBytes(record)).catch(() => {})
