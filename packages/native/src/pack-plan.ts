/** Lists the tensors of a packed file, each with its offset. */
import { unsupportedError } from '@parscale/core'
import { type FindWeight, isQuantised, type ModelConfig, type StoredWeight } from '@parscale/core/model'
import { type Layout, planFile, type Role } from './packed-layout.ts'

/** A tensor of the checkpoint with its place in the packed file. */
export interface PackedTensor {
  readonly layout: Layout
  readonly stored: StoredWeight
}

export interface PackPlan {
  readonly tensors: readonly PackedTensor[]
  readonly header: Uint8Array
  /** Where each tensor begins. */
  readonly offsets: readonly number[]
  readonly totalBytes: number
}

/**
 * The backbone: embedding, decoder, output embedding.
 *
 * @param tied the output matrix is the embedding
 * @throws as `find`
 */
export function planBackbone(config: ModelConfig, find: FindWeight, tied: boolean): PackPlan {
  const { hiddenSize: H, intermediateSize: I, headDim: D, vocabSize: V, attentionBias, mlpBias } = config
  const [Q, K] = [config.numAttentionHeads * D, config.numKeyValueHeads * D]
  const tensors: PackedTensor[] = []
  const matrix = (role: Role, layer: number, name: string, outputs: number, inputs: number) =>
    tensors.push(matrixTensor(role, layer, find(`${name}.weight`, [outputs, inputs]), outputs, inputs))
  const vector = (role: Role, layer: number, name: string, size: number) =>
    tensors.push(vectorTensor(role, layer, find(name, [size]), size))
  const linear = (
    role: Role & `${'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down'}`,
    layer: number,
    at: string,
    out: number,
    inner: number,
    bias: boolean,
  ) => {
    matrix(role, layer, at, out, inner)
    if (bias) vector(`${role}Bias`, layer, `${at}.bias`, out)
  }
  matrix('embedding', 0, 'model.embed_tokens', V, H)
  if (!tied) matrix('output', 0, 'lm_head', V, H)
  vector('finalNorm', 0, 'model.norm.weight', H)
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const at = `model.layers.${layer}`
    vector('inputNorm', layer, `${at}.input_layernorm.weight`, H)
    linear('q', layer, `${at}.self_attn.q_proj`, Q, H, attentionBias.qkv)
    linear('k', layer, `${at}.self_attn.k_proj`, K, H, attentionBias.qkv)
    linear('v', layer, `${at}.self_attn.v_proj`, K, H, attentionBias.qkv)
    if (config.qkNorm) {
      vector('qNorm', layer, `${at}.self_attn.q_norm.weight`, D)
      vector('kNorm', layer, `${at}.self_attn.k_norm.weight`, D)
    }
    linear('o', layer, `${at}.self_attn.o_proj`, H, Q, attentionBias.o)
    vector('postNorm', layer, `${at}.post_attention_layernorm.weight`, H)
    linear('gate', layer, `${at}.mlp.gate_proj`, I, H, mlpBias)
    linear('up', layer, `${at}.mlp.up_proj`, I, H, mlpBias)
    linear('down', layer, `${at}.mlp.down_proj`, H, I, mlpBias)
  }
  return plan(config, 'backbone', tensors)
}

/**
 * The network that weighs the streams of a stream set (`dynamic` aggregation).
 *
 * @throws unsupported error for other aggregations, which have no matrices; else as `find`
 */
export function planAggregator(config: ModelConfig, find: FindWeight): PackPlan {
  const { hiddenSize: H } = config
  const { n: P, aggregation } = config.parscale
  if (aggregation !== 'dynamic') throw unsupportedError(`native step: ${aggregation} aggregation has no weights to pack`)
  const at = 'model.aggregate_layer'
  return plan(config, 'aggregator', [
    matrixTensor('aggregatorInner', 0, find(`${at}.0.weight`, [H, P * H]), H, P * H),
    vectorTensor('aggregatorInnerBias', 0, find(`${at}.0.bias`, [H]), H),
    matrixTensor('aggregatorOuter', 0, find(`${at}.2.weight`, [P, H]), P, H),
    vectorTensor('aggregatorOuterBias', 0, find(`${at}.2.bias`, [P]), P),
  ])
}

const plan = (config: ModelConfig, kind: 'backbone' | 'aggregator', tensors: readonly PackedTensor[]): PackPlan => ({
  tensors,
  ...planFile(
    config,
    kind,
    tensors.map(({ layout }) => layout),
  ),
})

function matrixTensor(role: Role, layer: number, stored: StoredWeight, outputs: number, inputs: number): PackedTensor {
  const shape = { role, layer, outputs, inputs, isVector: false }
  if (isQuantised(stored)) {
    const { bits, blockSize, zeroPoints } = stored
    return { stored, layout: { ...shape, format: bits === 8 ? 'int8' : 'int4', blockSize, hasMinima: zeroPoints !== undefined } }
  }
  const format = stored.dtype === 'bfloat16' ? 'bfloat16' : 'float32'
  return { stored, layout: { ...shape, format, blockSize: 0, hasMinima: false } }
}

const vectorTensor = (role: Role, layer: number, stored: StoredWeight, size: number): PackedTensor => ({
  stored,
  layout: { role, layer, outputs: size, inputs: 1, isVector: true, format: 'float32', blockSize: 0, hasMinima: false },
})
