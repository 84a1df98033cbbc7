/**
 * A model's config.json, read without trusting a default: what changes the numbers must be written in the file.
 * Absence means something only where the format itself says so (no `head_dim`: hidden / heads; no `sliding_window`: none).
 * Keys keep Hugging Face's spelling at this border and become camelCase inside.
 */
import * as z from 'zod'
import { checkpointError, unsupportedError } from '../errors.ts'
import type { ModelConfig, RopeScaling } from '../model/config.ts'
import { type Family, type FeatureKey, families, modelTypes } from '../model/families.ts'
import { type Features, plainFeatures } from '../model/features.ts'
import { rotaryHalf } from '../model/rope.ts'
import { hasStreams } from '../model/stream-options.ts'
import { safeParse } from '../safe-parse.ts'
import { familyOf, parscaleSchema, parseParscaleKeys } from './parscale-keys.ts'
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
  use_bidirectional_attention: z.boolean().nullish(),
  is_causal: z.boolean().nullish(),
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

/** All keys that are read. */
export const configKeys: readonly string[] = Object.keys(schema.shape)

/** More layers than this need a tensor each: lists of what a model consists of are as long as it says it is. */
const layersWithoutTensors = 256

/** @throws checkpoint error where there cannot be so many layers in so many tensors */
export function requireLayers({ numHiddenLayers }: Pick<ModelConfig, 'numHiddenLayers'>, tensors: number, file: string): void {
  if (numHiddenLayers <= Math.max(layersWithoutTensors, tensors)) return
  throw checkpointError(
    `${file}: says that there are ${numHiddenLayers} layers, and there are ${tensors} tensors; the two do not belong together`,
    { file, expected: numHiddenLayers, found: tensors },
  )
}

/**
 * Reads a parsed config.json.
 *
 * @param file names the file in errors
 * @throws checkpoint error naming the key; unsupported error naming the architecture, activation or scaling
 */
export function parseModelConfig(json: unknown, file = 'config.json'): ModelConfig {
  const writtenType = (json as { model_type?: unknown } | null)?.model_type
  const modelType = familyOf(writtenType)
  if (!modelType) {
    throw unsupportedError(
      `${file}: model_type ${writtenType === undefined ? 'is missing' : `${JSON.stringify(writtenType)} is not supported`}; supported are ${modelTypes.join(', ')}`,
      { file, expected: modelTypes, found: writtenType },
    )
  }
  const parsed = safeParse(schema, json)
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
  const { ropeTheta, ropeScaling, rotaryFactor } = parseRope(raw, file)
  if (family.ropeScaling === false && ropeScaling.type !== 'default') {
    throw unsupportedError(`${file}: rope scaling "${ropeScaling.type}" is not supported for ${modelType}`, {
      file,
      found: ropeScaling.type,
    })
  }
  const seesAhead = raw.use_bidirectional_attention ? 'use_bidirectional_attention' : 'is_causal'
  if (raw.use_bidirectional_attention || (raw.is_causal ?? true) === false) {
    const found = raw[seesAhead]
    throw unsupportedError(`${file}: ${seesAhead} is ${found}: what sees the tokens behind one cannot generate`, { file, found })
  }
  const features = parseFeatures(raw, family, rotaryFactor, file)
  if (raw.num_attention_heads % raw.num_key_value_heads !== 0) {
    throw checkpointError(
      `${file}: num_attention_heads (${raw.num_attention_heads}) must be a multiple of num_key_value_heads (${raw.num_key_value_heads})`,
      { file },
    )
  }
  if (raw.head_dim == null && family.headDim === 'named') {
    throw checkpointError(`${file}: head_dim is missing; ${modelType} models differ in it, so no default is assumed`, { file })
  }
  if (raw.head_dim === null && family.headDim === 'not null')
    throw checkpointError(`${file}: head_dim is null, on which transformers fails for ${modelType}; leave it out`, { file })
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
  const parscale = parseParscaleKeys(raw, modelType, file)
  if (writtenType !== modelType && !hasStreams({ parscale })) {
    throw checkpointError(
      `${file}: model_type ${JSON.stringify(writtenType)} is ${modelType} with streams, and parscale_n and parscale_input name none; write ${modelType} for the plain model`,
      { file, expected: modelType, found: writtenType },
    )
  }
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
    ropeTheta,
    ropeScaling,
    maxPositionEmbeddings: raw.max_position_embeddings,
    tieWordEmbeddings: raw.tie_word_embeddings,
    attentionBias: { qkv: said(family.attentionBias.qkv), o: said(family.attentionBias.o) },
    mlpBias: said(family.mlpBias),
    qkNorm: family.qkNorm,
    slidingWindows: slidingWindows(raw, family, file),
    features,
    bosTokenId: raw.bos_token_id ?? null,
    eosTokenIds: eos == null ? [] : typeof eos === 'number' ? [eos] : eos,
    parscale,
    raw: json as Record<string, unknown>,
  }
}

/** The features of a family, those among them that the file decides. */
function parseFeatures(raw: RawConfig, family: Family, rotaryFactor: number, file: string): Features {
  const fixed: Features = { ...plainFeatures, ...family.features }
  const { activationKey = 'hidden_act', featureKeys = [] } = family
  if (raw[activationKey] !== fixed.activation) {
    throw unsupportedError(
      `${file}: ${activationKey} "${raw[activationKey]}" is not supported; every model of this family uses "${fixed.activation}"`,
      { file, expected: fixed.activation, found: raw[activationKey] },
    )
  }
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
  return Object.assign({}, fixed, ...featureKeys.map((key) => set[key]())) as Features
}

interface Rope {
  readonly ropeTheta: number
  readonly ropeScaling: RopeScaling
  readonly rotaryFactor: number
}

/** What the file says of rotation, under the key of transformers 4 or of 5. Where it says two things, neither is taken. */
function parseRope(raw: RawConfig, file: string): Rope {
  const said = (['rope_scaling', 'rope_parameters'] as const).filter((key) => Object.keys(raw[key] ?? {}).length > 0)
  const [rope, other] = (said.length > 0 ? said : ([undefined] as const)).map((key) => ropeOf(raw, key && raw[key], file))
  if (other && JSON.stringify(rope) !== JSON.stringify(other)) {
    throw checkpointError(
      `${file}: rope_scaling and rope_parameters say different things; transformers takes rope_scaling and its rope_theta alone, so leave one of the two out`,
      { file, found: { rope_scaling: raw.rope_scaling, rope_parameters: raw.rope_parameters } },
    )
  }
  return rope!
}

type RopeParameters = z.infer<typeof ropeParameters>

function ropeOf(raw: RawConfig, rope: RopeParameters | undefined | null, file: string): Rope {
  const nested = Object.entries(rope ?? {}).find(([, value]) => typeof value === 'object' && !Array.isArray(value) && value)
  if (nested)
    throw unsupportedError(`${file}: rotation that differs by layer (${nested[0]}) is not supported`, { file, found: rope })
  const ropeTheta = rope?.rope_theta ?? raw.rope_theta
  if (ropeTheta === undefined)
    throw checkpointError(`${file}: rope_theta is missing; families differ in it, so no default is assumed`, { file })
  const rotaryFactor = rope?.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1
  return { ropeTheta, ropeScaling: parseScaling(rope, file), rotaryFactor }
}

function parseScaling(scaling: RopeParameters | undefined | null, file: string): RopeScaling {
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

/**
 * Which layers see only a window, as transformers reads the keys. Where it ignores a key that asks for windows, or takes a
 * default that the file does not name, the file is refused.
 */
function slidingWindows(raw: RawConfig, { window: rule }: Family, file: string): (number | null)[] {
  const layers = Array.from({ length: raw.num_hidden_layers }, (_, i) => i)
  const types = raw.layer_types
  const refuse = (why: string) => checkpointError(`${file}: ${why}`, { file })
  if (types && types.length !== layers.length) {
    throw refuse(`layer_types has ${types.length} entries for ${layers.length} layers`)
  }
  const strange = types?.find((type) => type !== 'full_attention' && type !== 'sliding_attention')
  if (strange !== undefined) throw unsupportedError(`${file}: layer type "${strange}" is not supported`, { file, found: strange })
  const asks = types?.includes('sliding_attention') ?? false
  if (rule === 'none') {
    if (asks)
      throw refuse(`layer_types asks for sliding_attention, which ${raw.model_type} does not know; transformers ignores it`)
    return layers.map(() => null)
  }
  if (rule === 'from max_window_layers' && !raw.use_sliding_window) {
    if (asks) throw refuse('layer_types asks for sliding_attention but use_sliding_window is not true')
    return layers.map(() => null)
  }
  const window = raw.sliding_window
  if (window === undefined) {
    throw refuse('sliding_window is missing; it decides the numbers, so no default is assumed. Write null where there is none')
  }
  if (asks && window === null) throw refuse('layer_types asks for sliding_attention but sliding_window is null')
  switch (rule) {
    case 'every layer':
      if (types) throw refuse(`layer_types is no key of ${raw.model_type}, whose layers all have sliding_window; leave it out`)
      return layers.map(() => window)
    case 'every other layer':
      if (window === null) throw refuse(`sliding_window is null, and ${raw.model_type} models have windows`)
      return layers.map((i) => ((types ? types[i] === 'sliding_attention' : i % 2 === 0) ? window : null))
    case 'from max_window_layers': {
      if (types) return types.map((type) => (type === 'sliding_attention' ? window : null))
      const from = raw.max_window_layers
      if (from === undefined && window !== null) throw refuse('use_sliding_window is true but max_window_layers is absent')
      return layers.map((i) => (window !== null && i >= from! ? window : null))
    }
  }
}
