/** The Node room: files and folders behind the portable interfaces. */

export { backboneDigest, backboneDigestKey, verifySameBackbone } from './backbone-digest.ts'
export { type ConvertOptions, convertModel } from './convert.ts'
export { documentFiles, readDocuments } from './documents.ts'
export { type FileSource, openFileSource } from './file-source.ts'
export { type GgufCacheOptions, ggufFolder } from './gguf-cache.ts'
export { type ModelFolder, openModelFolder } from './model-folder.ts'
export { openModelPath } from './open-model.ts'
export { type DatasetOptions, openDataset, type TokenizedDataset } from './token-cache.ts'
export { type FolderContents, fileSink, type WriteFolderOptions, type WriteProgress, writeModelFolder } from './write-folder.ts'
