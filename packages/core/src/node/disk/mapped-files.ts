/**
 * Files that an engine has mapped. Reading behind the end of one that somebody has cut short ends the process (SIGBUS), so their
 * lengths are looked at before each run. Files that are replaced by renaming stay as they were.
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { checkpointError } from '../../errors.ts'

export interface MappedFiles {
  /** Some microseconds a file. What is cut off in the middle of a run is not seen. @throws checkpoint error naming the file */
  mustBeWhole(): void
  close(): void
}

/** @throws the file system's error for a file that cannot be opened */
export function mappedFiles(paths: Iterable<string>): MappedFiles {
  const files = new Map<number, { readonly path: string; readonly size: number }>()
  const close = () => {
    for (const file of files.keys()) closeSync(file)
    files.clear()
  }
  try {
    for (const path of new Set(paths)) {
      const file = openSync(path, 'r')
      files.set(file, { path, size: fstatSync(file).size })
    }
  } catch (error) {
    close()
    throw error
  }
  return {
    mustBeWhole() {
      for (const [file, { path, size }] of files) {
        const found = fstatSync(file).size
        if (found >= size) continue
        const advice = 'load the model again from a whole file, and replace files by renaming'
        throw checkpointError(`${path}: was cut short while it was in use, from ${size} to ${found} bytes; ${advice}`, {
          file: path,
          expected: size,
          found,
        })
      }
    },
    close,
  }
}
