/** Writes a small file so that it is there whole, or as it was before: beside its place, flushed, renamed. */
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { namedDiskError } from './disk-full.ts'
import { fileSink, syncFolder } from './write-folder.ts'

/** @throws resource error when the disk is full, else the file system's errors; the file is as it was then */
export async function writeWholeFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.partial`
  try {
    await writeFlushed(temporary, bytes)
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw namedDiskError(error, path, 'and run the command again')
  }
}

/** Makes or replaces a file and waits until the disk has it. */
export async function writeFlushed(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w')
  try {
    await fileSink(file).write(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}
