/** The memory that running a model takes, known before anything is loaded. Each engine adds what it takes itself. */
import type { ModelConfig } from './config.ts'
import { type KvType, kvBytes } from './kv-type.ts'
import type { Parameter } from './layer-tensors.ts'
import { backboneParameters, elementCount, streamParameters } from './parameters.ts'

/** All in bytes. */
export interface MemoryEstimate {
  /** Weights as the engine holds them. The input embedding stays in its file. */
  readonly weightBytes: number
  /** Prefixes and aggregators of the stream sets, as if all were in float32. */
  readonly streamBytes: number
  /** Keys and values of all rows. */
  readonly cacheBytes: number
  /** The largest buffers of a step. */
  readonly activationBytes: number
  /** The engine and JavaScript themselves. */
  readonly runtimeBytes: number
  readonly totalBytes: number
}

export interface MemoryQuestion {
  readonly config: ModelConfig
  /** Element type and shape of what the checkpoint stores, by name. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>
  readonly tied: boolean
  readonly p: number
  /** Tokens in the cache, prompt and answer. */
  readonly contextTokens: number
  /** Stream sets that are loaded, by their configurations. */
  readonly streamSets: readonly ModelConfig[]
  /** Tokens times rows that one step takes. */
  readonly rowTokens: number
  /** How the cache stores keys and values. Default: f32. */
  readonly kv?: KvType | undefined
}

/** What an engine takes beyond the model. */
export interface EngineMemory {
  /** Bytes of the tensors that the engine does not hold in float32, by name. */
  readonly heldBytes: ReadonlyMap<string, number>
  readonly activationBytes: number
  /** Whether the largest weight is there a second time for a moment, while it is packed. */
  readonly packsAtLoad: boolean
}

const float = 4
/** Node and an engine with a model of no size. */
const emptyBytes = 100e6
const count = (parameters: readonly Parameter[]) => parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)

/** Positions in front of the first token: the prefix of the set of P streams. */
export const prefixPositions = ({ streamSets, p }: Pick<MemoryQuestion, 'streamSets' | 'p'>): number =>
  streamSets.find((set) => set.parscale.n === p)?.parscale.nTokens ?? 0

/** Bytes of one position of one row in the cache: keys and values of all layers. */
export const positionBytes = ({ numHiddenLayers, numKeyValueHeads, headDim }: ModelConfig, kv: KvType): number =>
  numHiddenLayers * 2 * numKeyValueHeads * kvBytes(kv, headDim)

/** The sum of a model's own needs and its engine's. */
export function estimateMemory(question: MemoryQuestion, engine: EngineMemory): MemoryEstimate {
  const { config, tied, p, contextTokens, streamSets, kv = 'f32' } = question
  const held = backboneParameters(config, tied).filter(({ part }) => part !== 'embedding' || tied)
  const bytes = held.map(({ name, shape }) => engine.heldBytes.get(name) ?? float * elementCount(shape))
  const weightBytes = bytes.reduce((sum, each) => sum + each, 0)
  const streamBytes = float * streamSets.reduce((sum, set) => sum + count(streamParameters(set)), 0)
  const cacheBytes = p * (prefixPositions(question) + contextTokens) * positionBytes(config, kv)
  const { activationBytes } = engine
  const runtimeBytes = emptyBytes + (engine.packsAtLoad ? Math.max(...bytes) : 0)
  const totalBytes = weightBytes + streamBytes + cacheBytes + activationBytes + runtimeBytes
  return { weightBytes, streamBytes, cacheBytes, activationBytes, runtimeBytes, totalBytes }
}
