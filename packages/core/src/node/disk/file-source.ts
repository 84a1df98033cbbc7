/** A byte source over a file. */
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { checkpointError, isParscaleError } from '../../errors.ts'

/** A byte source that holds an open file. `path` is the real path: links, as in the hub's cache, are resolved. */
export interface FileSource extends ByteSource {
  readonly path: string
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
    return fileSource(file, name, path, (await file.stat()).size)
  } catch (cause) {
    await file?.close()
    if (isParscaleError(cause)) throw cause
    const { code } = cause as NodeJS.ErrnoException
    throw checkpointError(`${name}: cannot be opened (${code}); check the path`, { file: name, cause })
  }
}

function fileSource(file: FileHandle, name: string, path: string, size: number): FileSource {
  return {
    name,
    path,
    size,
    read: (offset, length) => readExactly(file, name, size, offset, length),
    close: () => file.close(),
  }
}

async function readExactly(file: FileHandle, name: string, size: number, offset: number, length: number): Promise<Uint8Array> {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${size} there are`)
  }
  const bytes = new Uint8Array(length)
  // One read may return less than asked for, and at most 2 GiB.
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), offset + done)
    if (bytesRead === 0)
      throw checkpointError(`${name}: ended at byte ${offset + done} while being read; did it change?`, { file: name })
    done += bytesRead
  }
  return bytes
}
