/**
 * A kind of decoder: when it runs a model, how much memory that takes, and how it is opened. Whoever loads models has a list of
 * kinds and takes the first that does not refuse.
 */
import { quantisedBytes } from '../checkpoint/index.ts'
import { type KvType, type ModelConfig, sharesKeys } from '../model/index.ts'
import { estimateMemory, type MemoryEstimate, type MemoryQuestion, prefixPositions } from '../model/memory.ts'
import type { Decoder, Device, Runtime } from '../runtime/index.ts'
import type { ModelFiles, ModelPlan } from './model-files.ts'

/** What the user wants of a decoder. It goes from the command's flags to the decoder as one object. */
export interface DecoderOptions {
  /** How keys and values are stored: f32, f16 or int8. Default: f32. */
  readonly kv?: KvType | undefined
  /** Default: 'cpu'. */
  readonly device?: Device | undefined
  /** CPU threads. Default: the decoder's choice. */
  readonly threads?: number | undefined
}

/** Why a kind of decoder does not run a model. */
export interface DecoderRefusal {
  readonly reason: string
  /** 'usage': it runs with other options; 'unsupported': it does not run here; 'slow': it runs when asked for by name. */
  readonly kind: 'usage' | 'unsupported' | 'slow'
}

export interface DecoderKind<Options extends DecoderOptions = DecoderOptions> {
  readonly name: string
  /** What it would run with, as `avx512vnni`; undefined where there is nothing to say. */
  readonly runsWith?: string | undefined
  /** It reads weights once, when it prepares: those of a GGUF file need not be in files that it could map. */
  readonly readsOnce?: boolean
  /** It takes files that are `unread` (model-files.ts). */
  readonly looksAtNumbers?: boolean
  /** @param configs of the backbone and all stream sets */
  refusal(configs: readonly ModelConfig[], options: DecoderOptions): DecoderRefusal | undefined
  memory(question: MemoryQuestion): MemoryEstimate
  /** Makes in the cache what `open` reads from there: done before, so that memory is free again and failure can be told apart. */
  prepare?(files: ModelFiles, options: Options): Promise<unknown>
  /** Bytes that `prepare` would write: none for what is in the cache already. */
  keptBytes?(plan: ModelPlan, options: Options): Promise<number>
  open(files: ModelFiles, options: Options): Promise<Decoder>
}

/** Over graphs: runs every model, on whatever device its runtime has. What builds graphs is loaded when one is opened. */
export const graphDecoders = (name: string, runtime: (options: DecoderOptions) => Runtime | Promise<Runtime>): DecoderKind => ({
  name,
  refusal: () => undefined,
  memory: graphMemory,
  open: async (files, options) => {
    const { GraphDecoder } = await import('./graph-decoder.ts')
    return await GraphDecoder.load(await runtime(options), files, options)
  },
})

/**
 * Quantised weights are held as they are, all others in float32: types that are widened at load may for a moment take more.
 * Within 15 % of the peak that was measured for SmolLM2-135M at P = 1 and 8 and 100 to 2000 tokens, on the CPU.
 */
export function graphMemory(question: MemoryQuestion): MemoryEstimate {
  const { config, tensors, p, contextTokens, rowTokens, kv = 'f32' } = question
  const { numHiddenLayers, numKeyValueHeads, numAttentionHeads, headDim, hiddenSize, intermediateSize, vocabSize } = config
  const positions = prefixPositions(question) + contextTokens
  // What is not float32 is widened, layer by layer.
  const widened = kv === 'f32' ? 0 : p * 2 * numKeyValueHeads * positions * headDim
  // Rows that share keys and values have the other row's beside their own, layer by layer.
  const copies = question.streamSets.some(sharesKeys) ? 2 : 1
  // Gate, up and their product; a few residuals; scores and their softmax over all positions; new keys and values; logits.
  const floats =
    copies * widened +
    (copies - 1) * p * 2 * numKeyValueHeads * (positions + rowTokens / p) * headDim +
    rowTokens * (3 * intermediateSize + 6 * hiddenSize + 2 * numAttentionHeads * copies * (positions + rowTokens / p)) +
    rowTokens * numHiddenLayers * 2 * numKeyValueHeads * headDim +
    2 * vocabSize
  return estimateMemory(question, { heldBytes: quantisedBytes(tensors), activationBytes: 4 * floats, packsAtLoad: true })
}
