/** The Node room: files and folders behind the portable interfaces. */

export { backboneDigest, backboneDigestKey, tensorsDigest, verifySameBackbone } from './backbone-digest.ts'
export { type JsonObject, type ParameterArrays, readCheckpoint, type TrainingCheckpoint } from './checkpoint-files.ts'
export { type CheckpointEntry, CheckpointStore, type OnDamaged } from './checkpoint-store.ts'
export { companionFiles, inheritedFiles, tokenizerFileBytes } from './companion-files.ts'
export { type ConvertOptions, convertModel } from './convert.ts'
export { documentFiles, readDocuments } from './documents.ts'
export { type ExportedModel, type ExportedStreams, type ExportOptions, exportModel, exportStreamSet } from './export-model.ts'
export { type FileLock, type LockOwner, type LockRefused, tryFileLock } from './file-lock.ts'
export { type FileSource, openFileSource } from './file-source.ts'
export { ggufFolder } from './gguf-cache.ts'
export { makeFolder } from './make-folder.ts'
export { cachedModelFolder, fileState, type ModelCacheOptions } from './model-cache.ts'
export { type ModelFolder, openModelFolder } from './model-folder.ts'
export { openModelPath } from './open-model.ts'
export { quantisedFolder } from './quantised-cache.ts'
export {
  planQuantisation,
  type QuantisationPlan,
  type QuantisationSummary,
  type QuantiseOptions,
  quantiseModel,
} from './quantised-folder.ts'
export {
  type MetricsRecord,
  type NewRunOptions,
  type RunContents,
  RunFolder,
  type RunOptions,
  readRun,
  type TextSample,
} from './run-folder.ts'
export { streamSetFolders } from './stream-set-folders.ts'
export { type DatasetOptions, openDataset, type TokenizedDataset } from './token-cache.ts'
export { writeWholeFile } from './whole-file.ts'
export {
  type FolderContents,
  fileSink,
  type WriteFolderOptions,
  type WriteProgress,
  writeModelFolder,
  writeWholeFolder,
} from './write-folder.ts'
