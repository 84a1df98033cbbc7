/** A model inside of a page, on WebGPU or WASM, in a worker, without a server. A promised subpath: names come and go with major versions only. */
export {
  type Judgement,
  type Problem,
  parseProblem,
  parseSample,
  type Sample,
} from '../evaluation/index.ts'
export {
  type BrowserJudgeOptions,
  type BrowserLoadOptions,
  type BrowserMemory,
  type BrowserModel,
  type BrowserModelInfo,
  type BrowserSource,
  type BrowserTextOptions,
  deleteKeptModel,
  filesOfDrop,
  judgeInBrowser,
  type KeptModel,
  keptModels,
  type LoadProgress,
  loadInBrowser,
  type NamedFile,
} from '../web/index.ts'
