/** A byte source over a file. */
import type { BigIntStats } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { checkpointError, isParscaleError, resourceError } from '../../errors.ts'
import { fileVersion } from './file-version.ts'

/** A byte source that holds an open file. `path` is the real path: links, as in the hub's cache, are resolved. */
export interface FileSource extends ByteSource {
  readonly path: string
  /**
   * For who lets an engine open `path` once more: it is still this file, and as it was when it was opened here.
   *
   * @throws checkpoint error when it was changed or replaced since
   */
  mustBeUnchanged(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a file for positional reads.
 *
 * @throws checkpoint error when the path does not lead to a readable file
 */
export async function openFileSource(name: string): Promise<FileSource> {
  let file: FileHandle | undefined
  try {
    const path = await realpath(name)
    // Asked before opening: opening a pipe would wait for its other end.
    if (!(await stat(path)).isFile()) throw checkpointError(`${name}: expected a file, found something else`, { file: name })
    file = await open(path, 'r')
    return fileSource(file, name, path, await file.stat({ bigint: true }))
  } catch (cause) {
    await file?.close()
    if (isParscaleError(cause)) throw cause
    const { code } = cause as NodeJS.ErrnoException
    throw checkpointError(`${name}: cannot be opened (${code}); check the path`, { file: name, cause })
  }
}

function fileSource(file: FileHandle, name: string, path: string, opened: BigIntStats): FileSource {
  const size = Number(opened.size)
  const mustBe = (found: BigIntStats | undefined) => {
    if (found && fileVersion(found) !== fileVersion(opened)) throw changed(name)
  }
  const mustBeAsOpened = async () => mustBe(await file.stat({ bigint: true }))
  return {
    name,
    path,
    size,
    async read(offset, length) {
      const bytes = await readExactly(file, name, size, offset, length)
      await mustBeAsOpened()
      return bytes
    },
    async mustBeUnchanged() {
      await mustBeAsOpened()
      // What was removed is in nobody's hands but ours.
      mustBe(await stat(path, { bigint: true }).catch(() => undefined))
    },
    close: () => file.close(),
  }
}

const changed = (name: string) =>
  checkpointError(`${name}: was changed while it was being read; load it again once it is whole, and replace files by renaming`, {
    file: name,
  })

/** A disk that fails, or a file server that has lost the file. */
const failed = (name: string, cause: NodeJS.ErrnoException) =>
  resourceError(`${name}: cannot be read (${cause.code}); check the disk, or copy the file to another one`, { file: name, cause })

async function readExactly(file: FileHandle, name: string, size: number, offset: number, length: number): Promise<Uint8Array> {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${size} there are`)
  }
  const bytes = new Uint8Array(length)
  // One read may return less than asked for, and at most 2 GiB.
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), offset + done).catch((cause) => {
      throw failed(name, cause)
    })
    if (bytesRead === 0)
      throw checkpointError(`${name}: ended at byte ${offset + done} while being read; did it change?`, { file: name })
    done += bytesRead
  }
  return bytes
}
