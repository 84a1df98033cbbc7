/** What a GGUF metadata value becomes in JavaScript. 64-bit integers stay bigint; numeric arrays stay typed arrays. */

export type GgufArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | readonly boolean[]
  | readonly string[]
  | readonly GgufArray[]

export type GgufValue = number | bigint | boolean | string | GgufArray

/** Metadata by key, such as "general.architecture" or "tokenizer.ggml.tokens". */
export type GgufMetadata = ReadonlyMap<string, GgufValue>
