/** The checkpoint room: safetensors, GGUF, Hugging Face configs, over byte sources. */
export { backboneDigest, backboneDigestKey, type Hashing, tensorsDigest, verifySameBackbone } from './backbone-digest.ts'
export { type ByteSource, bytesSource } from './byte-source.ts'
export * from './config.ts'
export { configJson, torchNames, type WrittenWeights } from './config-json.ts'
export { noPlace, requireStreamTensors, requireTensor } from './expected-tensors.ts'
export { requireFinite, requireFiniteStored } from './finite.ts'
export { blockFormats, decodeBlocks, type GgmlType } from './gguf/blocks.ts'
export { type GgufArray, type GgufFile, type GgufMetadata, type GgufTensor, type GgufValue, parseGguf } from './gguf/gguf.ts'
export { type GgufModel, type GgufStream, readGgufModel } from './gguf/model.ts'
export { widenBfloats, widenHalves } from './half.ts'
export { parseJsonText } from './json-text.ts'
export {
  type Checkpoint,
  type CheckpointFiles,
  isTied,
  type OpenCheckpoint,
  openCheckpoint,
  readJson,
  type TextFiles,
} from './open-checkpoint.ts'
export { parscaleKeys } from './parscale-keys.ts'
export {
  type BlockShape,
  blockSizeFor,
  dequantiseBlocks,
  type QuantisedBits,
  type QuantisedBlocks,
  quantiseBlocks,
} from './quantise.ts'
export {
  blockSizeOf,
  blocksOf,
  defaultBlockSize,
  type Matrix,
  type QuantisedPart,
  type QuantisedTensors,
  type QuantiseSettings,
  quantisedStreamSet,
  quantisedTensors,
  type WeightSettings,
} from './quantise-model.ts'
export {
  findQuantised,
  type Quantisation,
  type QuantisedTensor,
  quantisationJson,
  quantisationOf,
  quantisedBytes,
  quantisedFormatVersion,
  requireFiniteBlocks,
  scalesName,
  zeroPointsName,
} from './quantised-tensor.ts'
export { castBytes, readChunks, readF32, readStored } from './read-tensor.ts'
export { parseSafetensors, type SafetensorsFile } from './safetensors.ts'
export { parseSafetensorsIndex, parseShards } from './safetensors-index.ts'
export { type ByteSink, planShards, type Shard, shardIndex, writeSafetensors } from './safetensors-writer.ts'
export { type PartSizes, sequentialSources } from './sequential-source.ts'
export * from './tensor.ts'
export { arrayStream, castStream, streamBytes, streamTensor, type TensorStream } from './tensor-stream.ts'
