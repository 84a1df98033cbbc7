/** The contents room: the files of a model's folder before they are written: unpacked, converted, quantised or trained. */
export { convertedContents } from './converted.ts'
export {
  type ExportedModel,
  type ExportedStreams,
  type ExportedType,
  exportedContents,
  exportedStreamSet,
} from './exported.ts'
export { foldedContents } from './folded.ts'
export { type FolderContents, isCompanion, type SmallFiles } from './folder-contents.ts'
export { checkpointContents, ggufContents, type ModelContents } from './model-contents.ts'
export {
  type QuantisationPlan,
  type QuantisationSummary,
  quantisationPlan,
  quantisedContents,
  type StoredStreamSet,
} from './quantised.ts'
export { streamedCheckpoint, streamedDigest, streamedStreamSet } from './streamed.ts'
export { unwrittenCopy, unwrittenFolder } from './unwritten.ts'
