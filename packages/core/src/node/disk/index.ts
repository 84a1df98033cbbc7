/** Files and folders that appear whole or not at all, locks between processes, and what to say when a disk refuses. */
export { discard } from './discard.ts'
export { cacheAdvice, type DiskAdvice, diskError, isDiskError } from './disk-error.ts'
export {
  type FileLock,
  type LockOptions,
  type LockOwner,
  type LockRefused,
  lockHolder,
  tryFileLock,
  withFileLock,
} from './file-lock.ts'
export { type FileSource, openFileSource } from './file-source.ts'
export { checkInBackground } from './hashes.ts'
export { linkFile } from './link-file.ts'
export { makeFolder } from './make-folder.ts'
export { appendToFile, type FileHandle, openToRead, openToUpdate } from './open-file.ts'
export { isGone, type Owner, thisProcess } from './owner.ts'
export { type TemporaryFolder, temporaryFolder } from './partial.ts'
export { type FileContent, moveFile, writeNewFile, writeWholeFile } from './whole-file.ts'
export { removeFolder, type WholeFolderOptions, writeWholeFolder } from './whole-folder.ts'
export { type WriteFolderOptions, type WriteProgress, writeModelFolder } from './write-folder.ts'
