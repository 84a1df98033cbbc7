/** A model from nothing: the configuration of a fresh one, in the architecture of the paper's experiments. */
import { parseModelConfig } from '../../checkpoint/index.ts'
import type { ModelConfig } from '../../model/index.ts'
import type { RunConfig } from '../run/run-config.ts'

/** Qwen2 (biases on q, k and v), with one stream. `raw` is the config.json to save. */
export function freshModel(
  shape: NonNullable<RunConfig['shape']>,
  tokenizer: { readonly vocabSize: number; readonly eosTokenIds: readonly number[] },
): ModelConfig {
  const [eos] = tokenizer.eosTokenIds
  return parseModelConfig({
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    vocab_size: tokenizer.vocabSize,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.numHiddenLayers,
    num_attention_heads: shape.numAttentionHeads,
    num_key_value_heads: shape.numKeyValueHeads,
    head_dim: shape.headDim,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: shape.ropeTheta,
    max_position_embeddings: shape.maxPositionEmbeddings,
    tie_word_embeddings: shape.tieWordEmbeddings,
    use_sliding_window: false,
    attention_dropout: 0,
    initializer_range: shape.initializerRange,
    torch_dtype: 'float32',
    bos_token_id: eos ?? null,
    eos_token_id: eos ?? null,
  })
}
