/** The Node room: files and folders behind the portable interfaces. */

export { backboneDigestKey } from '../checkpoint/backbone-digest.ts'
export type { ExportedModel, ExportedStreams } from '../contents/exported.ts'
export type { FolderContents } from '../contents/folder-contents.ts'
export type { QuantisationPlan, QuantisationSummary } from '../contents/quantised.ts'
export { tokenizerFileBytes } from '../tokenizer/tokenizer-files.ts'
export { type DiskAdvice, diskError } from './disk/disk-error.ts'
export {
  type FileLock,
  type LockOptions,
  type LockOwner,
  type LockRefused,
  tryFileLock,
  withFileLock,
} from './disk/file-lock.ts'
export { linkFile } from './disk/link-file.ts'
export { makeFolder } from './disk/make-folder.ts'
export { appendToFile, openToRead, openToUpdate } from './disk/open-file.ts'
export type { Owner } from './disk/owner.ts'
export { type TemporaryFolder, temporaryFolder } from './disk/partial.ts'
export { type FileContent, moveFile, writeNewFile, writeWholeFile } from './disk/whole-file.ts'
export type { WholeFolderOptions } from './disk/whole-folder.ts'
export { type WriteFolderOptions, writeModelFolder } from './disk/write-folder.ts'
export { documentFiles, readDocuments } from './documents/documents.ts'
export { type DatasetOptions, openDataset, type TokenizedDataset } from './documents/token-cache.ts'
export * from './models/index.ts'
export { type JsonObject, type ParameterArrays, readCheckpoint, type TrainingCheckpoint } from './runs/checkpoint-files.ts'
export { type CheckpointEntry, CheckpointStore, type OnDamaged } from './runs/checkpoint-store.ts'
export {
  type MetricsRecord,
  type NewRunOptions,
  type RunContents,
  RunFolder,
  type RunOptions,
  readRun,
  type TextSample,
} from './runs/run-folder.ts'
