/** Open files for those who read them piece by piece, or go on writing where a file ends. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type DiskAdvice, diskError } from './disk-error.ts'

export type { FileHandle }

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
