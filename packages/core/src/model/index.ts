export { streamAdapt } from './adapters.ts'
export {
  type Aggregation,
  aggregations,
  type Merge,
  type ModelConfig,
  merges,
  type ParscaleConfig,
  type RopeScaling,
  type StreamInput,
  streamInputs,
} from './config.ts'
export {
  type Adapt,
  type Branch,
  branches,
  type DecoderInputs,
  type DecoderOutputs,
  decoder,
  type KeyValue,
  silu,
} from './decoder.ts'
export { type Family, families, type GgufFamily, isModelType, type ModelType, modelTypes, type WindowRule } from './families.ts'
export { type Activation, type Features, type LayerNorms, plainFeatures, type QkNorm } from './features.ts'
export { aggregatorGraph, backboneGraph, maskName, outputGraph, windowsOf } from './graphs.ts'
export { type KvType, kvBytes, kvDTypes, kvTypes } from './kv-type.ts'
export {
  type LayerRole,
  type LayerTensor,
  type LinearInput,
  type LinearRole,
  layerByRole,
  layerTensors,
  linearInputs,
  linearRoles,
  type Parameter,
  type Part,
} from './layer-tensors.ts'
export { estimateMemory, type MemoryEstimate, type MemoryQuestion, positionBytes } from './memory.ts'
export { sharedPositions, sharesKeys } from './own-window.ts'
export { backboneParameters, elementCount, streamParameters } from './parameters.ts'
export { type Aggregated, aggregate, type LayerPrefix, outputEmbedding, type WriteCacheRow, writePrefix } from './parscale.ts'
export { inverseFrequencies, RopeTable, rotaryHalf } from './rope.ts'
export { gateFloor, gateScore, nearlyClosedGate } from './stream-gate.ts'
export { hasStreams, isReferenceFormat, type ParscaleOptions, parscaleConfig } from './stream-options.ts'
export {
  biasName,
  embeddingName,
  gainName,
  gateName,
  inputScaleName,
  isFactor,
  linearLayers,
  loraName,
  neutralValue,
  outputScaleName,
  prefixName,
} from './streams.ts'
export {
  externalWeights,
  type FindWeight,
  isQuantised,
  type PlainWeight,
  type QuantisedWeight,
  type StoredData,
  type StoredRows,
  type StoredWeight,
  storedRows,
  type Weights,
} from './weights.ts'
