/** Batches of a tokenized data set. A promised subpath: names come and go with major versions only. */
export { type BatchOptions, type TrainingBatches, trainingBatches } from '../training/data/index.ts'
