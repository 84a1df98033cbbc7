/** What running a model takes, known before anything is loaded. */
import type { ModelConfig } from './config.ts'
import { type KvType, kvBytes } from './kv-type.ts'
import { backboneParameters, elementCount, type Parameter, streamParameters } from './parameters.ts'

export interface MemoryEstimate {
  /** Weights as the engine holds them: float32 but for quantised ones, and for bfloat16 in native code. The input embedding stays in its file. */
  readonly weightBytes: number
  /** Prefixes and aggregators of the stream sets, as if all were in float32. */
  readonly streamBytes: number
  /** Keys and values of all rows. */
  readonly cacheBytes: number
  /** The largest buffers of a step. */
  readonly activationBytes: number
  /** The engine and JavaScript themselves, and with graphs the largest weight a second time: it is read, then packed for the products. */
  readonly runtimeBytes: number
  readonly totalBytes: number
}

export interface MemoryQuestion {
  readonly tied: boolean
  readonly p: number
  /** Tokens in the cache, prompt and answer. */
  readonly contextTokens: number
  /** Stream sets that are loaded, by their configurations. */
  readonly streamSets: readonly ModelConfig[]
  /** Tokens times rows that one step takes. */
  readonly rowTokens: number
  /** Bytes of the tensors that the engine does not hold in float32, by name. */
  readonly heldBytes?: ReadonlyMap<string, number> | undefined
  /** Graphs (`onnx`, the default), or native code, which maps its weights as they are and has fewer buffers. */
  readonly engine?: 'onnx' | 'native' | undefined
  /** How the cache stores keys and values. Default: f32. */
  readonly kv?: KvType | undefined
}

const float = 4
/** Node and ONNX Runtime with a model of no size. */
const emptyBytes = 100e6
const count = (parameters: readonly Parameter[]) => parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)

/**
 * Within 15 % of the peak that was measured for SmolLM2-135M at P = 1 and 8 and 100 to 2000 tokens, on the CPU. Types other
 * than float32 are widened at load, which may for a moment take more.
 */
export function estimateMemory(config: ModelConfig, question: MemoryQuestion): MemoryEstimate {
  const { tied, p, contextTokens, streamSets, rowTokens, kv = 'f32', engine = 'onnx' } = question
  const held = backboneParameters(config, tied).filter(({ part }) => part !== 'embedding' || tied)
  const bytesOf = ({ name, shape }: Parameter) => question.heldBytes?.get(name) ?? float * elementCount(shape)
  const weightBytes = held.reduce((sum, parameter) => sum + bytesOf(parameter), 0)
  const streamBytes = float * streamSets.reduce((sum, set) => sum + count(streamParameters(set)), 0)
  const prefix = streamSets.find((set) => set.parscale.n === p)?.parscale.nTokens ?? 0
  const { numHiddenLayers, numKeyValueHeads, numAttentionHeads, headDim, hiddenSize, intermediateSize, vocabSize } = config
  const places = prefix + contextTokens
  const entries = p * 2 * numKeyValueHeads * places // of a layer
  const cacheBytes = numHiddenLayers * entries * kvBytes(kv, headDim)
  // What is not float32 is widened, layer by layer.
  const widenedBytes = kv === 'f32' ? 0 : float * entries * headDim
  // Gate, up and their product; a few residuals; scores and their softmax over all places; new keys and values; logits.
  const graphBytes =
    widenedBytes +
    float *
      (rowTokens * (3 * intermediateSize + 6 * hiddenSize + 2 * numAttentionHeads * (places + rowTokens / p)) +
        rowTokens * numHiddenLayers * 2 * numKeyValueHeads * headDim +
        2 * vocabSize)
  // Gate and up, a few residuals, queries, keys and values; logits. Scores are a page at a time.
  const nativeBytes = float * (rowTokens * (2 * intermediateSize + 6 * hiddenSize) + 2 * vocabSize)
  const activationBytes = engine === 'native' ? nativeBytes : graphBytes
  const runtimeBytes = emptyBytes + (engine === 'native' ? 0 : Math.max(...held.map(bytesOf)))
  const totalBytes = weightBytes + streamBytes + cacheBytes + activationBytes + runtimeBytes
  return { weightBytes, streamBytes, cacheBytes, activationBytes, runtimeBytes, totalBytes }
}
