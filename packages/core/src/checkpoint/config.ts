/**
 * A model's config.json, read without trusting a default: what changes the numbers must be written in the file.
 * Absence means something only where the format itself says so (no `head_dim`: hidden / heads; no `sliding_window`: none).
 * Keys keep Hugging Face's spelling at this border and become camelCase inside.
 */
import * as z from 'zod'
import { checkpointError, unsupportedError } from '../errors.ts'
import type { ModelConfig, RopeScaling } from '../model/config.ts'
import { type Family, type FeatureKey, families, isModelType, modelTypes } from '../model/families.ts'
import { type Features, plainFeatures } from '../model/features.ts'
import { rotaryHalf } from '../model/rope.ts'
import { parscaleSchema, parseParscaleKeys } from './parscale-keys.ts'
import { quantisationOf } from './quantised-tensor.ts'

export type { ModelConfig } from '../model/config.ts'

const positive = z.number().int().positive()
const tokenIds = z.union([z.number().int().nonnegative(), z.array(z.number().int().nonnegative())]).nullish()

const ropeParameters = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: positive.optional(),
  partial_rotary_factor: z.number().positive().max(1).optional(),
})

const schema = z.looseObject({
  model_type: z.string(),
  vocab_size: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_hidden_layers: positive.max(100_000),
  num_attention_heads: positive,
  num_key_value_heads: positive,
  head_dim: positive.nullish(),
  hidden_act: z.string().optional(),
  hidden_activation: z.string().nullish(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: ropeParameters.nullish(),
  /** transformers 5 writes theta and scaling together under this key. */
  rope_parameters: ropeParameters.nullish(),
  max_position_embeddings: positive,
  partial_rotary_factor: z.number().positive().max(1).optional(),
  query_pre_attn_scalar: z.number().positive().optional(),
  attn_logit_softcapping: z.number().positive().nullish(),
  final_logit_softcapping: z.number().positive().nullish(),
  tie_word_embeddings: z.boolean().optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  sliding_window: positive.nullish(),
  use_sliding_window: z.boolean().optional(),
  max_window_layers: z.number().int().nonnegative().optional(),
  layer_types: z.array(z.string()).nullish(),
  bos_token_id: z.number().int().nonnegative().nullish(),
  eos_token_id: tokenIds,
  quantization_config: z.looseObject({}).nullish(),
  ...parscaleSchema,
})

type RawConfig = z.infer<typeof schema>

/**
 * Reads a parsed config.json.
 *
 * @param file names the file in errors
 * @throws checkpoint error naming the key; unsupported error naming the architecture, activation or scaling
 */
export function parseModelConfig(json: unknown, file = 'config.json'): ModelConfig {
  const modelType = (json as { model_type?: unknown } | null)?.model_type
  if (!isModelType(modelType)) {
    throw unsupportedError(
      `${file}: model_type ${JSON.stringify(modelType)} is not supported; supported are ${modelTypes.join(', ')}`,
      { file, expected: modelTypes, found: modelType },
    )
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw checkpointError(
      `${file}: ${issue.path.join('.') || 'the file'}: ${issue.message}; the key decides the numbers, so no default is assumed`,
      {
        file,
        found: issue,
      },
    )
  }
  const raw = parsed.data
  quantisationOf(raw, file) // refuses what others quantised
  const family = families[modelType]
  const features = parseFeatures(raw, family, file)
  if (raw.num_attention_heads % raw.num_key_value_heads !== 0) {
    throw checkpointError(
      `${file}: num_attention_heads (${raw.num_attention_heads}) must be a multiple of num_key_value_heads (${raw.num_key_value_heads})`,
      { file },
    )
  }
  if (raw.head_dim == null && raw.hidden_size % raw.num_attention_heads !== 0) {
    throw checkpointError(
      `${file}: head_dim is absent and hidden_size (${raw.hidden_size}) is not a multiple of num_attention_heads (${raw.num_attention_heads})`,
      { file },
    )
  }
  const headDim = raw.head_dim ?? raw.hidden_size / raw.num_attention_heads
  if (headDim % 2 !== 0 || rotaryHalf({ headDim, features }) % 1 !== 0)
    throw checkpointError(`${file}: rope: head size must be even, got ${headDim}; check head_dim`, { file })
  const said = (bias: boolean | 'attention_bias' | 'mlp_bias') => (typeof bias === 'boolean' ? bias : (raw[bias] ?? false))
  const eos = raw.eos_token_id
  return {
    modelType,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    numHiddenLayers: raw.num_hidden_layers,
    numAttentionHeads: raw.num_attention_heads,
    numKeyValueHeads: raw.num_key_value_heads,
    headDim,
    rmsNormEps: raw.rms_norm_eps,
    ropeTheta: requireTheta(raw, file),
    ropeScaling: parseScaling(raw, file),
    maxPositionEmbeddings: raw.max_position_embeddings,
    tieWordEmbeddings: raw.tie_word_embeddings,
    attentionBias: { qkv: said(family.attentionBias.qkv), o: said(family.attentionBias.o) },
    mlpBias: said(family.mlpBias),
    qkNorm: family.qkNorm,
    slidingWindows: slidingWindows(raw, family, file),
    features,
    bosTokenId: raw.bos_token_id ?? null,
    eosTokenIds: eos == null ? [] : typeof eos === 'number' ? [eos] : eos,
    parscale: parseParscaleKeys(raw, modelType, file),
    raw: json as Record<string, unknown>,
  }
}

/** The features of a family, those among them that the file decides. */
function parseFeatures(raw: RawConfig, family: Family, file: string): Features {
  const fixed: Features = { ...plainFeatures, ...family.features }
  const { activationKey = 'hidden_act', featureKeys = [] } = family
  if (raw[activationKey] !== fixed.activation) {
    throw unsupportedError(
      `${file}: ${activationKey} "${raw[activationKey]}" is not supported; every model of this family uses "${fixed.activation}"`,
      { file, expected: fixed.activation, found: raw[activationKey] },
    )
  }
  const rotaryFactor = raw.rope_parameters?.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1
  if (rotaryFactor !== 1 && !featureKeys.includes('partial_rotary_factor')) {
    throw unsupportedError(`${file}: partial_rotary_factor ${rotaryFactor} is not supported for ${raw.model_type}`, { file })
  }
  const need = <T>(key: FeatureKey, value: T | undefined): T => {
    if (value === undefined)
      throw checkpointError(`${file}: ${key} is missing; it decides the numbers, so no default is assumed`, { file })
    return value
  }
  const set: Readonly<Record<FeatureKey, () => Partial<Features>>> = {
    query_pre_attn_scalar: () => ({
      attentionScale: 1 / Math.sqrt(need('query_pre_attn_scalar', raw.query_pre_attn_scalar)),
    }),
    attn_logit_softcapping: () => ({ attentionSoftCap: need('attn_logit_softcapping', raw.attn_logit_softcapping) }),
    final_logit_softcapping: () => ({ logitSoftCap: need('final_logit_softcapping', raw.final_logit_softcapping) }),
    partial_rotary_factor: () => ({ rotaryFactor }),
    hidden_size: () => ({ embeddingScale: Math.sqrt(raw.hidden_size) }),
  }
  return featureKeys.reduce((features, key) => ({ ...features, ...set[key]() }), fixed)
}

function requireTheta(raw: RawConfig, file: string): number {
  const theta = raw.rope_parameters?.rope_theta ?? raw.rope_theta
  if (theta === undefined)
    throw checkpointError(`${file}: rope_theta is missing; families differ in it, so no default is assumed`, { file })
  return theta
}

function parseScaling(raw: RawConfig, file: string): RopeScaling {
  const scaling = raw.rope_parameters ?? raw.rope_scaling
  const type = scaling?.rope_type ?? scaling?.type ?? 'default'
  if (!scaling || type === 'default') return { type: 'default' }
  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings'): number => {
    const value = scaling[key]
    if (value === undefined) throw checkpointError(`${file}: rope scaling "${type}" needs ${key}`, { file })
    return value
  }
  if (type === 'linear') return { type, factor: need('factor') }
  if (type === 'llama3') {
    return {
      type,
      factor: need('factor'),
      lowFreqFactor: need('low_freq_factor'),
      highFreqFactor: need('high_freq_factor'),
      originalMaxPositionEmbeddings: need('original_max_position_embeddings'),
    }
  }
  throw unsupportedError(`${file}: rope scaling "${type}" is not supported; supported are default, linear, llama3`, {
    file,
    found: type,
  })
}

/** Which layers see only a window: `layer_types` where given, else the family's older rule. */
function slidingWindows(raw: RawConfig, { window: rule }: Family, file: string): (number | null)[] {
  const layers = Array.from({ length: raw.num_hidden_layers }, (_, i) => i)
  const window = raw.sliding_window ?? null
  if (raw.layer_types) {
    if (raw.layer_types.length !== layers.length) {
      throw checkpointError(`${file}: layer_types has ${raw.layer_types.length} entries for ${layers.length} layers`, { file })
    }
    return raw.layer_types.map((type) => {
      if (type === 'full_attention') return null
      if (type !== 'sliding_attention')
        throw unsupportedError(`${file}: layer type "${type}" is not supported`, { file, found: type })
      if (window === null)
        throw checkpointError(`${file}: layer_types asks for sliding_attention but sliding_window is absent`, { file })
      return window
    })
  }
  if (rule === 'every layer') return layers.map(() => window)
  if (rule === 'every other layer') return layers.map((i) => (i % 2 === 0 ? window : null))
  if (rule === 'none' || window === null || !raw.use_sliding_window) return layers.map(() => null)
  const from = raw.max_window_layers
  if (from === undefined) throw checkpointError(`${file}: use_sliding_window is true but max_window_layers is absent`, { file })
  return layers.map((i) => (i >= from ? window : null))
}
