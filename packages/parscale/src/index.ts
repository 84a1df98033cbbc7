/** The Node library: load a model by name and talk to it. Everything portable comes from @parscale/core. */
export { ParscaleError } from '@parscale/core/internal'
export {
  Chat,
  type TextChunk,
  TextModel,
  type TextOptions,
  type TextResult,
  type TextToken,
} from '@parscale/core/internal/generation'
export { type OnnxRuntimeOptions, onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
export { type CacheLookup, resolveCachedModel } from './hub/cached-model.ts'
export { type PublishedModel, publishedModels } from './hub/published-models.ts'
export { type PulledModel, type PullOptions, pullModel } from './hub/pull-model.ts'
export type { ChosenEngine, EngineChoice, EngineName } from './load/decode-engine.ts'
export { resolveModel } from './load/find-model.ts'
export { type LoadOptions, loadModel, loadTextModel } from './load/load.ts'
export { type OpenModel, type OpenOptions, openModel } from './load/open-model.ts'
