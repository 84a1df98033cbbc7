/** What decoders of different families do differently, as data: the graph's builder knows features, never families. */

export const activations = ['silu', 'gelu_pytorch_tanh'] as const
export type Activation = (typeof activations)[number]

/** RMS norm of queries and keys: none, over each head, or over all heads together. */
export type QkNorm = false | 'head' | 'projection'

/** Where a layer has norms, each with its tensor's name in the checkpoint; null: none there. */
export interface LayerNorms {
  readonly beforeAttention: string | null
  /** Over the attention's output, before it is added to the residual. */
  readonly afterAttention: string | null
  readonly beforeMlp: string | null
  readonly afterMlp: string | null
}

export interface Features {
  readonly norms: LayerNorms
  /** What is added to every norm's stored weight: Gemma stores w of (1 + w). */
  readonly normOffset: 0 | 1
  /** `qkv_proj` and `gate_up_proj`: q, k and v are rows of one stored matrix, gate and up of another. */
  readonly fused: boolean
  readonly activation: Activation
  /** Token embeddings are multiplied by it; the output matrix is not. */
  readonly embeddingScale: number
  /** Scores are multiplied by it. Null: 1 / sqrt(head size). */
  readonly attentionScale: number | null
  /** Scores s become cap * tanh(s / cap), before the mask; null: they stay. */
  readonly attentionSoftCap: number | null
  /** The same of logits. */
  readonly logitSoftCap: number | null
  /** The part of each head that is rotated, from its beginning. */
  readonly rotaryFactor: number
}

/** Those of Llama, and of every family that does not say otherwise. */
export const plainFeatures: Features = {
  norms: {
    beforeAttention: 'input_layernorm',
    afterAttention: null,
    beforeMlp: 'post_attention_layernorm',
    afterMlp: null,
  },
  normOffset: 0,
  fused: false,
  activation: 'silu',
  embeddingScale: 1,
  attentionScale: null,
  attentionSoftCap: null,
  logitSoftCap: null,
  rotaryFactor: 1,
}
