/** The Node room: files and folders behind the portable interfaces. */

export { backboneDigestKey } from '../checkpoint/backbone-digest.ts'
export type { ExportedModel, ExportedStreams } from '../contents/exported.ts'
export type { FolderContents } from '../contents/folder-contents.ts'
export type { QuantisationPlan, QuantisationSummary } from '../contents/quantised.ts'
export { tokenizerFileBytes } from '../tokenizer/tokenizer-files.ts'
export * from './disk/index.ts'
export { documentFiles, readDocuments } from './documents/documents.ts'
export { parquetRows } from './documents/parquet.ts'
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
export { RunLog, runAdvice } from './runs/run-log.ts'
