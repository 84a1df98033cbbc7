/**
 * Writes config.json, the way back from `parseModelConfig`: what the file already said stays as it was spelled, what a fresh
 * model has only inside is written out, and what belongs to the weights beside it (streams, tying, element type) is set.
 */
import type { ModelConfig } from '../model/config.ts'
import { families, isModelType } from '../model/families.ts'
import { hasStreams } from '../model/stream-options.ts'
import { parscaleKeys, writtenType } from './parscale-keys.ts'
import type { StoredDType } from './tensor.ts'

/** Element types as config.json and PyTorch call them. */
export const torchNames: Readonly<Record<StoredDType, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

export interface WrittenWeights {
  /** No `lm_head.weight` is written: the output matrix is the embedding. */
  readonly tied: boolean
  readonly dtype: StoredDType
}

/**
 * The contents of config.json. Qwen2 with streams as the reference knows them is called `qwen2_parscale`, so that the
 * reference loads it; every other family with streams has a name of our own, which nobody else takes for a plain model's.
 *
 * @param config of a model that comes from a file, the file's keys (`raw`) are taken over; `raw` of a fresh one is empty
 */
export function configJson(config: ModelConfig, { tied, dtype }: WrittenWeights): Record<string, unknown> {
  const { modelType, className } = writtenType(config)
  const reference = isModelType(modelType) ? families[modelType].reference : undefined
  const fresh = Object.keys(config.raw).length === 0
  const kept = Object.entries(config.raw).filter(([key]) => !key.startsWith('parscale_') && !replaced.has(key))
  return {
    architectures: [className],
    ...(reference && { auto_map: config.raw.auto_map ?? reference.autoMap }),
    model_type: modelType,
    ...(fresh ? architectureKeys(config) : Object.fromEntries(kept)),
    tie_word_embeddings: tied,
    // transformers 5 calls the key dtype.
    ['dtype' in config.raw ? 'dtype' : 'torch_dtype']: torchNames[dtype],
    ...(reference || hasStreams(config) ? parscaleKeys(config.parscale) : {}),
  }
}

/** Keys of the file that are written anew. */
const replaced = new Set(['architectures', 'auto_map', 'model_type', 'tie_word_embeddings', 'torch_dtype', 'dtype'])

/** A model's fields under Hugging Face's names, and the keys that transformers wants besides. */
function architectureKeys(c: ModelConfig): Record<string, unknown> {
  const eos = c.eosTokenIds
  return {
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numHiddenLayers,
    num_attention_heads: c.numAttentionHeads,
    num_key_value_heads: c.numKeyValueHeads,
    ...((families[c.modelType].headDim === 'named' || c.headDim * c.numAttentionHeads !== c.hiddenSize) && {
      head_dim: c.headDim,
    }),
    ...featureKeys(c),
    max_position_embeddings: c.maxPositionEmbeddings,
    initializer_range: 0.02,
    rms_norm_eps: c.rmsNormEps,
    use_cache: true,
    attention_dropout: 0,
    ...ropeKeys(c),
    ...biasKeys(c),
    ...windowKeys(c),
    bos_token_id: c.bosTokenId,
    eos_token_id: eos.length === 1 ? eos[0] : eos.length === 0 ? null : eos,
  }
}

function ropeKeys({ ropeTheta, ropeScaling }: ModelConfig): Record<string, unknown> {
  const keys = { rope_theta: ropeTheta }
  switch (ropeScaling.type) {
    case 'default':
      return { ...keys, rope_scaling: null }
    case 'linear':
      return { ...keys, rope_scaling: { rope_type: 'linear', factor: ropeScaling.factor } }
    case 'llama3': {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling
      return {
        ...keys,
        rope_scaling: {
          rope_type: 'llama3',
          factor,
          low_freq_factor: lowFreqFactor,
          high_freq_factor: highFreqFactor,
          original_max_position_embeddings: originalMaxPositionEmbeddings,
        },
      }
    }
  }
}

/** The family's activation, and the features that the file decides. */
function featureKeys({ modelType, features, headDim }: ModelConfig): Record<string, unknown> {
  const { activationKey = 'hidden_act', featureKeys: keys = [] } = families[modelType]
  const { activation, attentionScale, attentionSoftCap, logitSoftCap, rotaryFactor } = features
  const values = {
    query_pre_attn_scalar: attentionScale === null ? headDim : Math.round(attentionScale ** -2),
    attn_logit_softcapping: attentionSoftCap,
    final_logit_softcapping: logitSoftCap,
    partial_rotary_factor: rotaryFactor,
  }
  const written = keys.flatMap((key) => (key === 'hidden_size' ? [] : [[key, values[key]] as const]))
  return { [activationKey]: activation, ...Object.fromEntries(written) }
}

/** Biases that are no choice of the file stand in none. */
function biasKeys({ modelType, attentionBias, mlpBias }: ModelConfig): Record<string, unknown> {
  const family = families[modelType]
  return {
    ...(family.attentionBias.o === 'attention_bias' && { attention_bias: attentionBias.o }),
    ...(family.mlpBias === 'mlp_bias' && { mlp_bias: mlpBias }),
  }
}

function windowKeys({ modelType, slidingWindows }: ModelConfig): Record<string, unknown> {
  const { window: rule } = families[modelType]
  const window = slidingWindows.find((each) => each !== null) ?? null
  if (rule === 'none') return {}
  if (rule === 'every layer') return { sliding_window: window }
  const layerTypes = slidingWindows.map((each) => (each === null ? 'full_attention' : 'sliding_attention'))
  if (rule === 'every other layer') return { sliding_window: window, layer_types: layerTypes }
  if (window === null) return { sliding_window: null, use_sliding_window: false, max_window_layers: slidingWindows.length }
  return { sliding_window: window, use_sliding_window: true, layer_types: layerTypes }
}
