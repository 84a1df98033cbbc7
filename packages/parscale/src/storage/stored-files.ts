/** Files of a local folder, as they are to be stored: which, how long, with which hash. */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { openToRead } from '@parscale/core/internal/node'

export interface LocalFile {
  /** Within the folder, with `/`. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** Hashes by version of a file, so that what has not changed is not read again. */
export type KnownHashes = Map<string, { readonly version: string; readonly sha256: string }>

/** @param wanted asked of each path, with `/` */
export async function localFiles(
  folder: string,
  wanted: (path: string) => boolean = () => true,
  known: KnownHashes = new Map(),
): Promise<LocalFile[]> {
  const files: LocalFile[] = []
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const full = join(entry.parentPath, entry.name)
    const path = relative(folder, full).replaceAll('\\', '/')
    if (!wanted(path)) continue
    const { size, mtimeMs, ino } = await stat(full)
    const version = `${size} ${mtimeMs} ${ino}`
    const before = known.get(path)
    const sha256 = before?.version === version ? before.sha256 : await hashOf(full, size)
    known.set(path, { version, sha256 })
    files.push({ path, bytes: size, sha256 })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function hashOf(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  const file = await openToRead(path)
  try {
    if (bytes > 0)
      for await (const chunk of file.createReadStream({ start: 0, end: bytes - 1, autoClose: false, highWaterMark: 2 ** 20 }))
        hash.update(chunk)
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}
