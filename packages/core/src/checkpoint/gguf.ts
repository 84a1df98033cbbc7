export type { GgufArray, GgufMetadata, GgufValue } from './gguf-value.ts'
