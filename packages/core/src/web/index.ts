/** The web room: models in pages and workers. */
export { filesOfDrop } from './dropped-files.ts'
export { deleteKeptModel, keptModels } from './kept/kept-models.ts'
export { loadInBrowser } from './load.ts'
export type {
  BrowserLoadOptions,
  BrowserMemory,
  BrowserModel,
  BrowserModelInfo,
  BrowserSource,
  BrowserTextOptions,
  KeptModel,
  LoadProgress,
  NamedFile,
} from './types.ts'
