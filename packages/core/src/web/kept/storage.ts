/**
 * Kept models in the origin private file system: a folder each, named by its key, with the files side by side and `kept.json`,
 * which says what they are. The browser may delete all of it when it needs room.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'

export interface KeptFile {
  readonly path: string
  readonly size: number
  readonly sha256: string
  readonly tag?: string | undefined
}

/** kept.json. */
export interface Manifest {
  readonly version: 1
  readonly name: string
  readonly gguf: boolean
  readonly keptAt: number
  readonly complete: boolean
  readonly files: readonly KeptFile[]
  /** The file that was being read, whose bytes so far count if it still has this tag. */
  readonly partial?: { readonly path: string; readonly tag: string } | undefined
}

const rootName = 'parscale-models'
export const manifestName = 'kept.json'
/** What verdict.ts keeps there. */
export const verdictName = 'verdict.json'

export const keyOf = (identity: string): string => bytesToHex(sha256(new TextEncoder().encode(identity))).slice(0, 32)

/** SHA-256 over the paths and digests of all files. */
export const contentDigest = (files: readonly KeptFile[]): string =>
  bytesToHex(
    sha256(
      new TextEncoder().encode(
        files
          .map(({ path, sha256 }) => `${path}\0${sha256}\n`)
          .sort()
          .join(''),
      ),
    ),
  )

/** Undefined where there is no such file system, as in private windows of some browsers. */
export async function storageRoot(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory()
    return await root.getDirectoryHandle(rootName, { create: true })
  } catch {
    return undefined
  }
}

/** Paths have folders, the file system need not. */
export const fileName = (path: string): string => encodeURIComponent(path)

/** What kept.json says; undefined where it is not there or not whole. */
export async function readManifest(folder: FileSystemDirectoryHandle): Promise<Manifest | undefined> {
  try {
    const file = await (await folder.getFileHandle(manifestName)).getFile()
    const manifest = JSON.parse(await file.text()) as Manifest
    return manifest.version === 1 && Array.isArray(manifest.files) ? manifest : undefined
  } catch {
    return undefined
  }
}

export async function writeManifest(folder: FileSystemDirectoryHandle, manifest: Manifest): Promise<void> {
  const writer = await openWriter(await folder.getFileHandle(manifestName, { create: true }), 0)
  try {
    await writer.write(new TextEncoder().encode(JSON.stringify(manifest)))
  } finally {
    await writer.close()
  }
}

export interface Writer {
  write(bytes: Uint8Array): Promise<void>
  /** What was written is on the disk then. */
  close(): Promise<void>
}

/**
 * Appends behind the first `from` bytes, and drops what was there. In workers in place, elsewhere by way of a copy.
 *
 * @throws QuotaExceededError, from here or from `write` and `close`
 */
export async function openWriter(handle: FileSystemFileHandle, from: number): Promise<Writer> {
  let at = from
  if ('createSyncAccessHandle' in FileSystemFileHandle.prototype) {
    const access = await handle.createSyncAccessHandle()
    access.truncate(from)
    return {
      async write(bytes) {
        const written = access.write(bytes as Uint8Array<ArrayBuffer>, { at })
        if (written < bytes.length) throw new DOMException('the file system took only a part', 'QuotaExceededError')
        at += written
      },
      async close() {
        access.flush()
        access.close()
      },
    }
  }
  const stream = await handle.createWritable({ keepExistingData: from > 0 })
  await stream.truncate(from)
  return {
    async write(bytes) {
      await stream.write({ type: 'write', position: at, data: bytes as Uint8Array<ArrayBuffer> })
      at += bytes.length
    },
    close: () => stream.close(),
  }
}

export const isQuotaError = (error: unknown): boolean => (error as { name?: unknown } | null)?.name === 'QuotaExceededError'
