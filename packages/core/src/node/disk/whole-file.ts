/** Files that are there whole, or as they were before: written beside their place, flushed, renamed. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ByteSink } from '../../checkpoint/safetensors-writer.ts'
import { type DiskAdvice, diskError } from './disk-error.ts'
import { withPartial } from './partial.ts'

/** Bytes or text, or a function that writes into the open file. */
export type FileContent = Uint8Array | string | ((sink: ByteSink, file: FileHandle) => Promise<unknown>)

const usualAdvice: DiskAdvice = { full: 'free some space and run the command again', denied: 'choose another path' }

/**
 * Makes or replaces a file, and the folders above it where they are missing.
 *
 * @throws resource error when the disk is full, usage error when the path cannot be written; the file is as it was then
 */
export async function writeWholeFile(path: string, content: FileContent, advice = usualAdvice): Promise<void> {
  try {
    await withPartial(path, async (partial) => {
      await writeNewFile(partial, content)
      await moveFile(partial, path)
    })
  } catch (error) {
    throw diskError(error, path, advice)
  }
}

/**
 * Makes a file and waits until the disk has it. For folders that are not in their place yet.
 *
 * @throws the file system's errors; EEXIST where there is one
 */
export async function writeNewFile(path: string, content: FileContent): Promise<void> {
  const file = await open(path, 'wx')
  try {
    const sink = fileSink(file)
    if (typeof content === 'function') await content(sink, file)
    else await sink.write(typeof content === 'string' ? new TextEncoder().encode(content) : content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Renames a file, over another one if there is one, and waits until the disk has the new name. */
export async function moveFile(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
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
