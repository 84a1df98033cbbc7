/**
 * Hashes of what a cached folder was made of, so that a flipped bit is told from a weight. `hashes.json` is written with the
 * folder: SHA-256 of every file in blocks, so that a check can stop and go on later. `verified.json` says how far the check of
 * which version of a file (size, time of change, inode) came; `damaged.json` marks a folder that is not to be used again.
 */
import { createHash } from 'node:crypto'
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import { checkpointError } from '../../errors.ts'
import { fileVersion } from './file-version.ts'
import { writeNewFile } from './whole-file.ts'

const hashesName = 'hashes.json'
const verifiedName = 'verified.json'
const damagedName = 'damaged.json'
const blockBytes = 16 << 20
const sliceBytes = 1 << 20
/** Of its thread's time, what a check in the background takes. */
const backgroundShare = 0.1

/** What a folder was made of, and as what. */
export interface Origin {
  /** The file or folder that it was made of, for people. */
  readonly source: string
  /** What was in that, by which it is found again. Absent: an earlier version made it, which went by names. */
  readonly content?: string
  /** How weights are stored, as `4 bits`. */
  readonly weights?: string
  /** Which engine reads it. */
  readonly engine?: string
}

export interface FolderHashes extends Origin {
  readonly blockBytes: number
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: readonly string[] }>>
}

/** Bytes of a file that are not what was written. */
export interface Damage {
  readonly file: string
  readonly found: string
}

interface CheckOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: (bytes: number) => void
}

/** Hashes every file of a folder that is being made. @throws the signal's reason when aborted */
export async function writeHashes(folder: string, origin: Origin, signal?: AbortSignal): Promise<void> {
  const files: Record<string, FolderHashes['files'][string]> = {}
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const { size } = await stat(path)
    const sha256: string[] = []
    for await (const hash of blockHashes(path, 0, size, { signal })) sha256.push(hash)
    files[relative(folder, path).replaceAll('\\', '/')] = { bytes: size, sha256 }
  }
  await writeNewFile(join(folder, hashesName), jsonBytes({ ...origin, blockBytes, files } satisfies FolderHashes))
}

/** Undefined where an earlier version made the folder, or where the hashes are damaged themselves. */
export async function readHashes(folder: string): Promise<FolderHashes | undefined> {
  const hashes = await readJson<FolderHashes>(join(folder, hashesName))
  const isOurs = hashes?.blockBytes === blockBytes && typeof hashes.source === 'string' && typeof hashes.files === 'object'
  return isOurs && Object.values(hashes.files ?? {}).every(({ sha256 }) => Array.isArray(sha256)) ? hashes : undefined
}

/** Whether a check has found damage in the folder. */
export const isDamaged = (folder: string): Promise<boolean> =>
  stat(join(folder, damagedName)).then(
    () => true,
    () => false,
  )

/** Marks a folder, so that it is made anew when it is next asked for. Where the cache is read-only, nothing can be marked. */
export const markDamaged = (folder: string, damage: Damage): Promise<void> =>
  writeFile(join(folder, damagedName), jsonBytes(damage)).catch(() => {})

/**
 * Reads the whole folder and compares.
 *
 * @returns what is wrong, first of all; undefined for a folder as it was made
 * @throws the signal's reason when aborted
 */
export async function findDamage(
  folder: string,
  { files }: FolderHashes,
  options: CheckOptions = {},
): Promise<Damage | undefined> {
  for (const [file, { bytes, sha256 }] of Object.entries(files)) {
    const damage = await checkFile(folder, file, bytes, sha256, 0, options)
    if (damage) return damage
  }
  return undefined
}

/**
 * Checks the files of a folder that were not checked since they changed, slowly, so that whoever computes meanwhile hardly
 * notices. When stopped, it goes on there the next time.
 *
 * @throws checkpoint error that names the damaged file; the folder is marked then
 */
export async function checkInBackground(folder: string, signal: AbortSignal): Promise<void> {
  const hashes = await readHashes(folder)
  if (!hashes) return
  const known = (await readJson<Record<string, { version: string; blocks: number }>>(join(folder, verifiedName))) ?? {}
  const remembered = { ...known }
  const pause = (ms: number) => sleep(Math.max(5, ms * (1 / backgroundShare - 1)), undefined, { signal, ref: false })
  try {
    for (const [file, { bytes, sha256 }] of Object.entries(hashes.files)) {
      const version = await versionAt(join(folder, file))
      const before = known[file]?.version === version ? known[file].blocks : 0
      if (before === sha256.length && known[file]) continue
      const onBlock = (blocks: number) => {
        remembered[file] = { version, blocks }
      }
      const damage = await checkFile(folder, file, bytes, sha256, before, { signal, pause, onBlock })
      // One that was replaced meanwhile is another file.
      if (damage && (await versionAt(join(folder, file))) === version) {
        await markDamaged(folder, damage)
        throw damageError(folder, damage)
      }
      if (!damage) onBlock(sha256.length)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    const text = JSON.stringify(remembered)
    if (text !== JSON.stringify(known)) await writeFile(join(folder, verifiedName), text).catch(() => {})
  }
}

export const damageError = (folder: string, { file, found }: Damage) =>
  checkpointError(
    `${join(folder, file)}: ${found}; what was computed from it may be wrong. It is made anew when it is next asked for: run the command again`,
    { file: join(folder, file), expected: 'the bytes that were written', found },
  )

async function checkFile(
  folder: string,
  file: string,
  bytes: number,
  sha256: readonly string[],
  first: number,
  options: HashOptions & { readonly onBlock?: (blocks: number) => void },
): Promise<Damage | undefined> {
  const path = join(folder, file)
  const size = await stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
  if (size !== bytes) return { file, found: size === undefined ? 'is gone' : `has ${size} bytes, ${bytes} were written` }
  let block = first
  for await (const hash of blockHashes(path, first * blockBytes, bytes, options)) {
    const start = block * blockBytes
    if (hash !== sha256[block])
      return { file, found: `bytes ${start} to ${Math.min(bytes, start + blockBytes)} are not those that were written` }
    block++
    options.onBlock?.(block)
  }
  return undefined
}

interface HashOptions extends CheckOptions {
  /** Awaited after each slice, with the milliseconds that it took. */
  readonly pause?: (ms: number) => Promise<unknown>
}

async function* blockHashes(path: string, from: number, end: number, { signal, onBytes, pause }: HashOptions) {
  const file = await open(path, 'r')
  try {
    const slice = new Uint8Array(Math.min(sliceBytes, Math.max(1, end - from)))
    for (let start = from; start < end; start += blockBytes) {
      const hash = createHash('sha256')
      const blockEnd = Math.min(end, start + blockBytes)
      for (let at = start; at < blockEnd; ) {
        signal?.throwIfAborted()
        const began = performance.now()
        const { bytesRead } = await file.read(slice, 0, Math.min(slice.length, blockEnd - at), at)
        if (bytesRead === 0) break // cut meanwhile: the hash will tell
        hash.update(slice.subarray(0, bytesRead))
        at += bytesRead
        onBytes?.(bytesRead)
        await pause?.(performance.now() - began)
      }
      yield hash.digest('hex')
    }
  } finally {
    await file.close()
  }
}

async function versionAt(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found ? fileVersion(found) : 'gone'
}

/** What a file of ours says; undefined where it is not there, cut short, or no object. */
async function readJson<T extends object>(path: string): Promise<T | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return typeof value === 'object' && value !== null ? (value as T) : undefined
  } catch {
    return undefined
  }
}
