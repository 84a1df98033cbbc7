/** The decode step of parscale in native code, for CPUs. */

export {
  type PackPlan,
  planAggregator,
  planBackbone,
  type StepBatch,
  type StepOutput,
} from '@parscale/core/internal/packed'
export { type NativeRuntimeOptions, nativeRuntime } from './graphs/native-runtime.ts'
export { type NativeDecoderOptions, nativeDecoder, nativeRefusal, type PackedModel, packModel } from './native-decoder.ts'
export { nativeDecoders } from './native-kind.ts'
export {
  type CacheType,
  cacheTypes,
  instructionSets,
  NativeAggregator,
  NativeModel,
  type NativeModelOptions,
} from './native-model.ts'
export { type ModelFacts, nativeModule } from './native-module.ts'
export { type PackOptions, writePacked } from './pack.ts'
