/** A disk without room, whatever the system calls it: recognised, and said with what to do. */
import { resourceError } from '../../errors.ts'

/** True for the file system's errors that more room would cure. EFBIG: the largest size of a file is reached. */
export const isDiskFull = (error: unknown): error is NodeJS.ErrnoException =>
  ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')

/** The error itself, or one that names the file where the disk is full. @param advice what to do, after "free some space" */
export const namedDiskError = (error: unknown, path: string, advice: string): unknown =>
  isDiskFull(error)
    ? resourceError(`${path}: cannot be written (${error.code}); free some space ${advice}`, { file: path, cause: error })
    : error
