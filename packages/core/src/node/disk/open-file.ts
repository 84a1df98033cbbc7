/** Open files for those who read them piece by piece, or go on writing where a file ends. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { type DiskAdvice, diskError } from './disk-error.ts'

/** What is used of Node's own. Spelt out, so that our types need none of Node's. */
export interface FileHandle {
  read(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  write(bytes: Uint8Array, offset: number, length?: number, position?: number): Promise<{ readonly bytesWritten: number }>
  writeFile(content: string | Uint8Array): Promise<void>
  readFile(): Promise<Uint8Array>
  createReadStream(options: {
    readonly start?: number
    readonly end?: number
    readonly autoClose: boolean
    readonly highWaterMark?: number
  }): AsyncIterable<Uint8Array>
  chmod(mode: number): Promise<void>
  stat(): Promise<{ readonly size: number }>
  truncate(length: number): Promise<void>
  sync(): Promise<void>
  datasync(): Promise<void>
  close(): Promise<void>
}

/** @throws the file system's errors */
export const openToRead = (path: string): Promise<FileHandle> => open(path, 'r')

/** A file that grows at its end, made if it is not there. @throws the file system's errors */
export const openToAppend = (path: string): Promise<FileHandle> => open(path, 'a+')

/** Adds to the end of a file, made if it is not there. @throws as diskError */
export async function appendToFile(path: string, text: string, advice: DiskAdvice): Promise<void> {
  try {
    const file = await openToAppend(path)
    await file.writeFile(text).finally(() => file.close())
  } catch (error) {
    throw diskError(error, path, advice)
  }
}

/** A file to write at any position, made if it is not there. @throws the file system's errors */
export const openToUpdate = (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | constants.O_CREAT)
