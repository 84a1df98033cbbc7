/** The checkpoint room: safetensors, GGUF, Hugging Face configs, over byte sources. */
export { type ByteSource, bytesSource } from './byte-source.ts'
export * from './config.ts'
export type { GgufArray, GgufMetadata, GgufValue } from './gguf.ts'
export { castBytes, readChunks, readF32 } from './read-tensor.ts'
export { parseSafetensors, type SafetensorsFile } from './safetensors.ts'
export { parseSafetensorsIndex, parseShards } from './safetensors-index.ts'
export * from './tensor.ts'
