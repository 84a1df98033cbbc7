/**
 * The decoder families: a row says how one differs from the others, and everything that depends on a family reads its row.
 * Keys and class names are those of Hugging Face's transformers, architectures those of llama.cpp. docs/support.md is printed
 * from this table and says what a new row takes.
 */

import type { Features, QkNorm } from './features.ts'

export interface Family<Name extends string = ModelType> {
  /** In config.json's `architectures`. */
  readonly className: string
  /** How llama.cpp stores the family in GGUF files; null: no file says this family. */
  readonly gguf: GgufFamily | null
  /** Biases of the attention projections and the MLP: always or never there, or as this key of config.json says. */
  readonly attentionBias: { readonly qkv: boolean | 'attention_bias'; readonly o: boolean | 'attention_bias' }
  readonly mlpBias: boolean | 'mlp_bias'
  readonly qkNorm: QkNorm
  readonly window: WindowRule
  /** What it does otherwise than Llama, as far as config.json has no say in it. */
  readonly features?: Partial<Features>
  /** Keys of config.json that set features; all of them must be there. */
  readonly featureKeys?: readonly FeatureKey[]
  /**
   * config.json must name `head_dim`, as transformers' default is a number; or may leave it out, but not make it null, on which
   * transformers fails. Without this both mean hidden size / heads.
   */
  readonly headDim?: 'named' | 'not null'
  /** transformers refuses all stretching of rotations that we know. */
  readonly ropeScaling?: false
  /** config.json calls the activation so. Default: hidden_act. */
  readonly activationKey?: 'hidden_activation'
  /** This family's name once it has streams as the reference knows them. */
  readonly withStreams?: Name
  /** The family that the reference made of another one by adding streams. */
  readonly reference?: { readonly plain: Name; readonly autoMap: Readonly<Record<string, string>> }
}

export interface GgufFamily {
  /** `general.architecture` */
  readonly architecture: string
  /** llama.cpp rotates neighbouring pairs, so its converter interleaves the rows of each query and key head. */
  readonly permuted: boolean
  /** `attention.sliding_window` is config.json's `sliding_window`. Without this, a file that has it is refused. */
  readonly window?: true
  /**
   * No key holds `query_pre_attn_scalar`: llama.cpp takes the head size, but hidden size / heads in models of so many layers
   * (src/models/gemma2.cpp).
   */
  readonly scalarPerHeadAtLayers?: number
}

/** Keys that only some families have. `hidden_size`: embeddings are multiplied by its root. */
export type FeatureKey =
  | 'query_pre_attn_scalar'
  | 'attn_logit_softcapping'
  | 'final_logit_softcapping'
  | 'partial_rotary_factor'
  | 'hidden_size'

/** Which layers attend to `sliding_window` positions only, where config.json has no `layer_types`. */
export type WindowRule = 'none' | 'every layer' | 'from max_window_layers' | 'every other layer'

/** Where transformers finds the reference's modelling files when it may run remote code: they are no part of a model's weights. */
const referenceFiles = 'ParScale/ParScale-1.8B-P1'

const qwen2 = {
  className: 'Qwen2ForCausalLM',
  gguf: { architecture: 'qwen2', permuted: false },
  attentionBias: { qkv: true, o: false },
  mlpBias: false,
  qkNorm: false,
  headDim: 'not null',
  window: 'from max_window_layers',
  withStreams: 'qwen2_parscale',
} as const satisfies Family<string>

const rows = {
  qwen2_parscale: {
    ...qwen2,
    className: 'Qwen2ParScaleForCausalLM',
    gguf: null,
    reference: {
      plain: 'qwen2',
      autoMap: {
        AutoConfig: `${referenceFiles}--configuration_qwen2_parscale.Qwen2ParScaleConfig`,
        AutoModelForCausalLM: `${referenceFiles}--modeling_qwen2_parscale.Qwen2ParScaleForCausalLM`,
      },
    },
  },
  qwen2,
  qwen3: {
    className: 'Qwen3ForCausalLM',
    gguf: { architecture: 'qwen3', permuted: false },
    attentionBias: { qkv: 'attention_bias', o: 'attention_bias' },
    mlpBias: false,
    qkNorm: 'head',
    headDim: 'named',
    window: 'from max_window_layers',
  },
  llama: {
    className: 'LlamaForCausalLM',
    gguf: { architecture: 'llama', permuted: true },
    attentionBias: { qkv: 'attention_bias', o: 'attention_bias' },
    mlpBias: 'mlp_bias',
    qkNorm: false,
    window: 'none',
  },
  mistral: {
    className: 'MistralForCausalLM',
    // Its GGUF files say llama.
    gguf: null,
    // Without a say of `attention_bias`, unlike Llama's.
    attentionBias: { qkv: false, o: false },
    mlpBias: false,
    qkNorm: false,
    window: 'every layer',
  },
  phi3: {
    className: 'Phi3ForCausalLM',
    gguf: { architecture: 'phi3', permuted: false, window: true },
    attentionBias: { qkv: false, o: false },
    mlpBias: false,
    qkNorm: false,
    headDim: 'not null',
    window: 'every layer',
    features: { fused: true },
    featureKeys: ['partial_rotary_factor'],
    ropeScaling: false,
  },
  gemma2: {
    className: 'Gemma2ForCausalLM',
    gguf: { architecture: 'gemma2', permuted: false, window: true, scalarPerHeadAtLayers: 46 },
    attentionBias: { qkv: 'attention_bias', o: 'attention_bias' },
    mlpBias: false,
    qkNorm: false,
    window: 'every other layer',
    features: {
      norms: {
        beforeAttention: 'input_layernorm',
        afterAttention: 'post_attention_layernorm',
        beforeMlp: 'pre_feedforward_layernorm',
        afterMlp: 'post_feedforward_layernorm',
      },
      normOffset: 1,
      activation: 'gelu_pytorch_tanh',
    },
    featureKeys: ['hidden_size', 'query_pre_attn_scalar', 'attn_logit_softcapping', 'final_logit_softcapping'],
    activationKey: 'hidden_activation',
    headDim: 'named',
  },
  olmo2: {
    className: 'Olmo2ForCausalLM',
    gguf: { architecture: 'olmo2', permuted: false },
    attentionBias: { qkv: 'attention_bias', o: 'attention_bias' },
    mlpBias: false,
    qkNorm: 'projection',
    headDim: 'not null',
    window: 'none',
    features: {
      norms: {
        beforeAttention: null,
        afterAttention: 'post_attention_layernorm',
        beforeMlp: null,
        afterMlp: 'post_feedforward_layernorm',
      },
    },
  },
} as const satisfies Record<string, Family<string>>

export type ModelType = keyof typeof rows
export const families: Readonly<Record<ModelType, Family>> = rows
export const modelTypes = Object.keys(rows) as readonly ModelType[]

export const isModelType = (name: unknown): name is ModelType => typeof name === 'string' && Object.hasOwn(rows, name)
