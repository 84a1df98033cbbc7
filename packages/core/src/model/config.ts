/** What a decoder is made of, as config.json says it (checkpoint/config.ts reads the file). */

import type { ModelType } from './families.ts'
import type { Features, QkNorm } from './features.ts'

/** How rotary frequencies are stretched beyond the trained context. Names as in Hugging Face configs. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }

/** What can make a stream different from the others (streams.ts). Several may be taken together. */
export const streamInputs = ['prefix', 'scales', 'lora', 'bitfit', 'norms', 'embedding'] as const
export type StreamInput = (typeof streamInputs)[number]

/** How the streams' outputs become one. */
export const aggregations = ['dynamic', 'static', 'average'] as const
export type Aggregation = (typeof aggregations)[number]

/**
 * What is mixed by these weights: the streams' hidden states, of which logits are made once; or their probabilities, p = sum_p w_p p_p,
 * for which every stream's logits are made. (Mixing logits is mixing hidden states: the output embedding is linear.)
 */
export const merges = ['hidden', 'probabilities'] as const
export type Merge = (typeof merges)[number]

/** The choices of section 2 and of the appendix. Made by `parscaleConfig`, so that what does not apply is 0 or false. */
export interface ParscaleConfig {
  /** P, the number of streams. One stream may have an input transformation too: the control of an experiment with more. */
  readonly n: number
  /** In the order of `streamInputs`, each once; empty: nothing tells streams apart, so there is one only, the plain model. */
  readonly input: readonly StreamInput[]
  /** Prefix tokens per layer and stream. */
  readonly nTokens: number
  /** Each stream's prefix is attended to with a learned strength (stream-gate.ts), which may start near 0. */
  readonly gate: boolean
  /** Rank of A and B. */
  readonly loraRank: number
  /**
   * Keys and values shared among streams (own-window.ts): a stream attends to its own of so many last tokens, itself among them, and
   * further back to those of the first stream. null: to its own of all tokens.
   */
  readonly ownWindow: number | null
  /** `dynamic`: weights from the outputs, per token; `static`: P learned weights; `average`: 1 / P. One stream: `average`. */
  readonly aggregation: Aggregation
  /** One stream: `hidden`. */
  readonly merge: Merge
  /** Smoothing e of the learned aggregation weights: w' = w (1 - e) + e / P. */
  readonly attnSmooth: number
}

/** A decoder's configuration, as read from config.json. */
export interface ModelConfig {
  readonly modelType: ModelType
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numHiddenLayers: number
  readonly numAttentionHeads: number
  readonly numKeyValueHeads: number
  readonly headDim: number
  readonly rmsNormEps: number
  readonly ropeTheta: number
  readonly ropeScaling: RopeScaling
  readonly maxPositionEmbeddings: number
  /** Undefined where the file is silent: then the presence of `lm_head.weight` decides. */
  readonly tieWordEmbeddings: boolean | undefined
  /** Biases of the four attention projections and of the MLP, as the family or the file says. */
  readonly attentionBias: { readonly qkv: boolean; readonly o: boolean }
  readonly mlpBias: boolean
  readonly qkNorm: QkNorm
  /** Window in tokens per layer; null: the layer sees everything. Length `numHiddenLayers`. */
  readonly slidingWindows: readonly (number | null)[]
  readonly features: Features
  readonly bosTokenId: number | null
  readonly eosTokenIds: readonly number[]
  readonly parscale: ParscaleConfig
  /** The file as parsed, for whoever writes it again. */
  readonly raw: Readonly<Record<string, unknown>>
}
