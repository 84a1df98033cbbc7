/** The Node library: load a model by name and talk to it. Everything portable comes from @parscale/core. Its names are promised (docs/api.md). */
export { ParscaleError } from '@parscale/core/internal'
export {
  Chat,
  type TextChunk,
  TextModel,
  type TextOptions,
  type TextResult,
  type TextToken,
} from '@parscale/core/internal/generation'
export { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
export { type PublishedModel, publishedModels } from './hub/published-models.ts'
export { type PulledModel, type PullOptions, pullModel } from './hub/pull-model.ts'
export { resolveModel } from './load/find-model.ts'
export { type LoadOptions, loadModel, loadTextModel } from './load/load.ts'
export { type OpenModel, type OpenOptions, openModel } from './load/open-model.ts'
