/** Messages between a bench and its child processes: what to measure, and the result. Plain data, sent as JSON. */
import type { ErrorKind } from '@parscale/core/internal'
import type { KvType } from '@parscale/core/internal/model'
import type { EngineName } from '../load/decode-engine.ts'

/** One turn of a case. */
export interface Job {
  /** Folder of the backbone. */
  readonly backbone: string
  /** Folder of the stream set for P; undefined where the backbone has it, or for P = 1. */
  readonly streamSet: string | undefined
  readonly engine: EngineName
  /** The product's, where packed weights are. */
  readonly cacheDirectory: string
  /** Nothing can be kept there. */
  readonly inMemory?: true
  /** undefined: the engine's choice. */
  readonly threads: number | undefined
  readonly p: number
  /** Numbers of the KV cache. */
  readonly kv: KvType
  /** Requests that are stepped together. */
  readonly batch: number
  /** Tokens of each request in the cache before the first measured step. */
  readonly context: number
  /** Tokens of the prompt whose prefill is measured. */
  readonly prompt: number
  /** Measured steps of decoding. */
  readonly steps: number
}

/** What one turn has measured. */
export interface Turn {
  /** From nothing to a model that can run: reading headers, compiling graphs, packing weights. */
  readonly loadMs: number
  /** Of all requests' prompts, one after the other. */
  readonly prefillMs: number
  /** Each step of all requests: their rows through the model, and the best token of each. */
  readonly stepMs: readonly number[]
  readonly peakMemoryBytes: number
  /** Keys and values as they were held. */
  readonly cacheBytes: number
}

export type Answer =
  | { readonly turn: Turn }
  | { readonly error: { readonly kind: ErrorKind | undefined; readonly message: string } }
