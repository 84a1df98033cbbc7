/** Files that are there whole, or as they were before: written beside their place, flushed, renamed. */
import { open, realpath, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ByteSink } from '../../checkpoint/safetensors-writer.ts'
import { type DiskAdvice, diskError } from './disk-error.ts'
import type { FileHandle } from './open-file.ts'
import { withPartial } from './partial.ts'

/** Bytes or text, or a function that writes into the open file. */
export type FileContent = Uint8Array | string | ((sink: ByteSink, file: FileHandle) => Promise<unknown>)

const usualAdvice: DiskAdvice = { full: 'free some space and run the command again', denied: 'choose another path' }

/**
 * Makes or replaces a file, and the folders above it where they are missing. A link stays, and its target is replaced. Pipes
 * and devices, such as /dev/stdout, are written to.
 *
 * @throws resource error when the disk is full, usage error when the path cannot be written; the file is as it was then
 */
export async function writeWholeFile(path: string, content: FileContent, advice = usualAdvice): Promise<void> {
  try {
    const target = await realpath(path).catch(() => path)
    const found = await stat(target).catch(() => undefined)
    if (found && !found.isFile() && !found.isDirectory()) {
      const file = await open(target, 'w')
      return await fill(file, content).finally(() => file.close())
    }
    await withPartial(target, async (partial) => {
      await writeNewFile(partial, content)
      await moveFile(partial, target)
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
    await fill(file, content)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function fill(file: FileHandle, content: FileContent): Promise<void> {
  const sink = fileSink(file)
  if (typeof content === 'function') await content(sink, file)
  else await sink.write(typeof content === 'string' ? new TextEncoder().encode(content) : content)
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
