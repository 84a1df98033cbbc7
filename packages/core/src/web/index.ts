/** The web room: models in pages and workers. */
export { knownTokens } from './engine/known-tokens.ts'
export { type BrowserJudgeOptions, judgeInBrowser } from './judge/judge-in-browser.ts'
export { deleteKeptModel, keptModels } from './kept/kept-models.ts'
export { loadInBrowser } from './load.ts'
export { filesOfDrop } from './sources/dropped-files.ts'
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
