/** Models, data sets and exports on disk. A promised subpath: names come and go with major versions only. */
export {
  convertModel,
  exportModel,
  exportStreamSet,
  type ModelFolder,
  openDataset,
  openModelFolder,
  openModelPath,
  quantiseModel,
  readDocuments,
  type TokenizedDataset,
  tokenizerFileBytes,
} from './index.ts'
