/** Training data: documents, token files, the held-out split, packing, and batches by step. */

export {
  type Batches,
  type BatchOptions,
  type DataBatch,
  type EvaluationBatches,
  evaluationBatches,
  type TrainingBatches,
  trainingBatches,
} from './batches.ts'
export { bytesPerToken, type DatasetSummary } from './dataset-summary.ts'
export { tokenizerDigest } from './digest.ts'
export { documentDomains } from './document-domains.ts'
export type { ChatDocument, DocumentOptions, EncodedDocument, SkipReason, TextDocument, TrainingDocument } from './documents.ts'
export { documentEncoder, type EncodeOptions } from './encode-documents.ts'
export { jsonlDocuments } from './json-documents.ts'
export type { Packing } from './packing.ts'
export { permutation } from './permutation.ts'
export { heldOutSplit, type SplitOptions } from './split.ts'
export { textDocuments } from './text-documents.ts'
export { openTokenFile, type TokenFile } from './token-file.ts'
export { type TokenFileWriter, tokenFileWriter } from './token-file-writer.ts'
export { type TokenizeOptions, tokenizeDataset } from './tokenize-dataset.ts'
