/**
 * GGUF metadata as a Hugging Face config.json. Keys of both sides keep their spelling. What llama.cpp's own loader takes
 * as the meaning of an absent key is said where it is used.
 */
import { checkpointError, unsupportedError } from '../../errors.ts'
import type { RopeScaling } from '../../model/config.ts'
import { families, type GgufFamily, type ModelType, modelTypes } from '../../model/families.ts'
import { endTokenIds } from './ends.ts'
import type { GgufFile, GgufMetadata } from './gguf.ts'

interface Architecture extends GgufFamily {
  readonly modelType: ModelType
}

/** By `general.architecture`. */
const architectures: ReadonlyMap<unknown, Architecture> = new Map(
  modelTypes.flatMap((modelType) => {
    const { gguf } = families[modelType]
    return gguf ? [[gguf.architecture, { ...gguf, modelType }] as const] : []
  }),
)

/** @throws unsupported error naming the architecture and the supported ones */
export function ggufArchitecture(metadata: GgufMetadata, file: string): Architecture {
  const found = metadata.get('general.architecture')
  const architecture = architectures.get(found)
  if (architecture) return architecture
  const supported = [...architectures.keys()].sort()
  throw unsupportedError(`${file}: general.architecture "${found}" is not supported; supported are ${supported.join(', ')}`, {
    file,
    expected: supported,
    found,
  })
}

/**
 * The config.json of a GGUF file.
 *
 * @param ropeScaling as rope_freqs.weight says, where there is one
 * @throws checkpoint error for missing or contradictory metadata; unsupported error for features by name
 */
export function ggufConfig(gguf: GgufFile, file: string, ropeScaling?: RopeScaling): Record<string, unknown> {
  const { metadata, tensors } = gguf
  const { modelType, architecture: arch, window: windowed, scalarPerHeadAtLayers } = ggufArchitecture(metadata, file)
  const family = families[modelType]
  const read = metadataReader(metadata, file, arch)

  const embedding = tensors.get('token_embd.weight')
  if (embedding?.shape.length !== 2) {
    throw checkpointError(
      `${file}: tensor token_embd.weight should be [vocabulary, hidden], got [${embedding?.shape ?? 'nothing'}]`,
      {
        file,
        tensor: 'token_embd.weight',
      },
    )
  }
  const [vocabSize, hiddenSize] = embedding.shape as [number, number]
  const tokens = metadata.get('tokenizer.ggml.tokens')
  if (Array.isArray(tokens) && tokens.length > vocabSize) {
    throw checkpointError(
      `${file}: tokenizer.ggml.tokens has ${tokens.length} tokens, but token_embd.weight only ${vocabSize} rows`,
      {
        file,
        expected: vocabSize,
        found: tokens.length,
      },
    )
  }
  if (read.optional('expert_count', 0) !== 0) {
    throw unsupportedError(`${file}: ${arch} with experts (${arch}.expert_count) is not supported; supported are dense models`, {
      file,
    })
  }

  const heads = read.integer('attention.head_count')
  const headDim = read.optional('attention.key_length', hiddenSize / heads)
  const rotated = read.optional('rope.dimension_count', headDim)
  const partial = family.featureKeys?.includes('partial_rotary_factor') ?? false
  const sizes = { 'attention.value_length': read.optional('attention.value_length', headDim), 'rope.dimension_count': rotated }
  for (const [key, size] of Object.entries(sizes)) {
    if (size !== headDim && !(partial && size === rotated)) {
      throw unsupportedError(`${file}: ${arch}.${key} is ${size}; it is supported only equal to the head size, ${headDim}`, {
        file,
      })
    }
  }
  const slidingWindow = read.optional('attention.sliding_window', 0)
  if (slidingWindow !== 0 && !windowed) {
    throw unsupportedError(`${file}: ${arch}.attention.sliding_window (${slidingWindow}) is not supported in GGUF files`, {
      file,
    })
  }
  const layers = read.integer('block_count')
  const featureJson = () => {
    const { activationKey = 'hidden_act', featureKeys = [], features } = family
    const values = {
      query_pre_attn_scalar: layers === scalarPerHeadAtLayers ? hiddenSize / heads : headDim,
      attn_logit_softcapping: () => decimal(read.number('attn_logit_softcapping')),
      final_logit_softcapping: () => decimal(read.number('final_logit_softcapping')),
      partial_rotary_factor: rotated / headDim,
      hidden_size: hiddenSize,
    }
    const set = featureKeys.map((key) => {
      const value = values[key]
      return [key, typeof value === 'function' ? value() : value]
    })
    return {
      [activationKey]: features?.activation ?? 'silu',
      ...Object.fromEntries(set),
      ...(windowed && { sliding_window: slidingWindow === 0 ? null : slidingWindow }),
    }
  }
  const bos = metadata.get('tokenizer.ggml.bos_token_id')
  const ends = endTokenIds(metadata)
  return {
    architectures: [family.className],
    model_type: modelType,
    vocab_size: vocabSize,
    hidden_size: hiddenSize,
    intermediate_size: read.integer('feed_forward_length'),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    // llama.cpp: as many key/value heads as heads, where the key is absent.
    num_key_value_heads: read.optional('attention.head_count_kv', heads),
    head_dim: headDim,
    ...featureJson(),
    rms_norm_eps: decimal(read.number('attention.layer_norm_rms_epsilon')),
    // llama.cpp: 10000, where the key is absent; files of Llama 2 leave it out.
    rope_theta: decimal(read.optional('rope.freq_base', 10_000)),
    rope_scaling: scalingJson(metadata, file, arch, ropeScaling),
    max_position_embeddings: read.integer('context_length'),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...(family.attentionBias.qkv === 'attention_bias' && { attention_bias: tensors.has('blk.0.attn_q.bias') }),
    ...(family.mlpBias === 'mlp_bias' && { mlp_bias: tensors.has('blk.0.ffn_gate.bias') }),
    bos_token_id: typeof bos === 'number' ? bos : null,
    eos_token_id: ends.length > 1 ? ends : (ends[0] ?? null),
    torch_dtype: storedDType(gguf),
  }
}

function scalingJson(
  metadata: GgufMetadata,
  file: string,
  arch: string,
  fromTensor?: RopeScaling,
): Record<string, unknown> | null {
  if (fromTensor?.type === 'llama3') {
    return {
      rope_type: 'llama3',
      factor: fromTensor.factor,
      low_freq_factor: fromTensor.lowFreqFactor,
      high_freq_factor: fromTensor.highFreqFactor,
      original_max_position_embeddings: fromTensor.originalMaxPositionEmbeddings,
    }
  }
  const type = metadata.get(`${arch}.rope.scaling.type`) ?? 'none'
  // Files from before 2024 have the factor only, under the older key.
  const factor = metadata.get(`${arch}.rope.scaling.factor`) ?? metadata.get(`${arch}.rope.scale_linear`)
  if (type === 'linear' || (type === 'none' && metadata.has(`${arch}.rope.scale_linear`) && factor !== 1)) {
    if (typeof factor !== 'number') {
      throw checkpointError(`${file}: ${arch}.rope.scaling.type is linear, but ${arch}.rope.scaling.factor is missing`, { file })
    }
    return { rope_type: 'linear', factor: decimal(factor) }
  }
  if (type === 'none') return null
  throw unsupportedError(`${file}: ${arch}.rope.scaling.type "${type}" is not supported; supported are none, linear and llama3`, {
    file,
    found: type,
  })
}

/** The type of the weight matrices once they are a checkpoint again: quantised blocks become float32. */
function storedDType({ tensors }: GgufFile): string {
  const matrices = [...tensors.values()].filter((tensor) => tensor.shape.length > 1)
  if (matrices.every((tensor) => tensor.type === 'BF16')) return 'bfloat16'
  return matrices.every((tensor) => tensor.type === 'F16') ? 'float16' : 'float32'
}

/** The shortest decimal that is this float32: 1e-5 rather than 0.000009999999747378752. */
function decimal(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return short
  }
  return value
}

function metadataReader(metadata: GgufMetadata, file: string, arch: string) {
  function number(key: string): number {
    const found = metadata.get(`${arch}.${key}`)
    // Some writers store one value per layer even where all are equal.
    const values = ArrayBuffer.isView(found) ? [...new Set(found as unknown as Iterable<number>)] : [found]
    const value = typeof values[0] === 'bigint' ? Number(values[0]) : values[0]
    if (values.length > 1) {
      throw unsupportedError(`${file}: ${arch}.${key} differs between layers, which is not supported`, { file, found: values })
    }
    if (typeof value !== 'number' || !(value > 0) || value > Number.MAX_SAFE_INTEGER) {
      throw checkpointError(`${file}: ${arch}.${key} should be a positive number, got ${value ?? 'nothing'}`, {
        file,
        found: value,
      })
    }
    return value
  }
  function integer(key: string): number {
    const value = number(key)
    if (!Number.isInteger(value))
      throw checkpointError(`${file}: ${arch}.${key} should be an integer, got ${value}`, { file, found: value })
    return value
  }
  return {
    number,
    integer,
    /** Zero counts as absent, as writers use it so. */
    optional: (key: string, absent: number) => ((metadata.get(`${arch}.${key}`) ?? 0) === 0 ? absent : number(key)),
  }
}
