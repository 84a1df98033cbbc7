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
export { type FileSource, openFileSource } from './disk/file-source.ts'
export { linkFile } from './disk/link-file.ts'
export { makeFolder } from './disk/make-folder.ts'
export { appendToFile, openToRead, openToUpdate } from './disk/open-file.ts'
export type { Owner } from './disk/owner.ts'
export { type TemporaryFolder, temporaryFolder } from './disk/partial.ts'
export { type FileContent, moveFile, writeNewFile, writeWholeFile } from './disk/whole-file.ts'
export { type WholeFolderOptions, writeWholeFolder } from './disk/whole-folder.ts'
export { type WriteFolderOptions, type WriteProgress, writeModelFolder } from './disk/write-folder.ts'
export { documentFiles, readDocuments } from './documents/documents.ts'
export { type DatasetOptions, openDataset, type TokenizedDataset } from './documents/token-cache.ts'
export { backboneDigest, tensorsDigest, verifySameBackbone } from './models/backbone-digest.ts'
export { companionFiles, inheritedFiles } from './models/companion-files.ts'
export { type ConvertOptions, convertModel } from './models/convert.ts'
export { type ExportOptions, exportModel, exportStreamSet } from './models/export-model.ts'
export { ggufFolder } from './models/gguf-cache.ts'
export { cachedModelFolder, fileState, type ModelCacheOptions } from './models/model-cache.ts'
export { type ModelFolder, openModelFolder, textFiles } from './models/model-folder.ts'
export { openModelPath } from './models/open-model.ts'
export { quantisedFolder } from './models/quantised-cache.ts'
export { planQuantisation, type QuantiseOptions, quantiseModel } from './models/quantised-folder.ts'
export { streamSetFolders } from './models/stream-set-folders.ts'
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
