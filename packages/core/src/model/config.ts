/** What a decoder is made of, as config.json says it (checkpoint/config.ts reads the file). */

export const modelTypes = ['qwen2_parscale', 'qwen2', 'qwen3', 'llama', 'mistral'] as const
export type ModelType = (typeof modelTypes)[number]

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

export interface ParscaleConfig {
  /** P, the number of streams. 1: the plain model, without prefix and aggregation. */
  readonly n: number
  /** Prefix tokens per layer and stream. */
  readonly nTokens: number
  /** Smoothing e of the aggregation weights: w' = w (1 - e) + e / P. */
  readonly attnSmooth: number
}

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
  /** RMS norm over each head's query and key (Qwen3). */
  readonly qkNorm: boolean
  /** Window in tokens per layer; null: the layer sees everything. Length `numHiddenLayers`. */
  readonly slidingWindows: readonly (number | null)[]
  readonly bosTokenId: number | null
  readonly eosTokenIds: readonly number[]
  readonly parscale: ParscaleConfig
  /** The file as parsed, for whoever writes it again. */
  readonly raw: Readonly<Record<string, unknown>>
}
