/**
 * The tensors of one decoder layer, listed once: readers, writers, the graph's builder, packing and counts all read this list.
 * An entry is what the computation asks for; `stored` is the checkpoint's tensor that holds it, all of it or some of its rows.
 */
import type { ModelConfig } from './config.ts'

export type Part = 'embedding' | 'attention' | 'mlp' | 'norm' | 'output' | 'prefix' | 'adapter' | 'aggregation'

/** Linear layers, by what they compute. */
export const linearRoles = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const
export type LinearRole = (typeof linearRoles)[number]
export type NormRole = 'inputNorm' | 'postNorm' | 'qNorm' | 'kNorm'
export type LayerRole = LinearRole | `${LinearRole}Bias` | NormRole

export interface LayerTensor {
  readonly role: LayerRole
  readonly part: Part
  /** What it belongs to, `model.layers.0.self_attn.q_proj`: the name that adapters know a linear layer by. */
  readonly layer: string
  /** [out, in] of a matrix, [size] of a vector. */
  readonly shape: readonly number[]
  /** The checkpoint's tensor, under Hugging Face's name, and llama.cpp's name of it. */
  readonly stored: { readonly name: string; readonly shape: readonly number[]; readonly gguf: string }
  /** The first of its rows in the stored tensor. */
  readonly row: number
}

/** Names in a layer: Hugging Face's, then llama.cpp's (gguf-py/gguf/tensor_mapping.py). */
const linearNames = {
  q: ['self_attn.q_proj', 'attn_q'],
  k: ['self_attn.k_proj', 'attn_k'],
  v: ['self_attn.v_proj', 'attn_v'],
  o: ['self_attn.o_proj', 'attn_output'],
  gate: ['mlp.gate_proj', 'ffn_gate'],
  up: ['mlp.up_proj', 'ffn_up'],
  down: ['mlp.down_proj', 'ffn_down'],
} as const satisfies Record<LinearRole, readonly [string, string]>

const normNames = {
  inputNorm: ['input_layernorm', 'attn_norm'],
  qNorm: ['self_attn.q_norm', 'attn_q_norm'],
  kNorm: ['self_attn.k_norm', 'attn_k_norm'],
  postNorm: ['post_attention_layernorm', 'ffn_norm'],
} as const satisfies Record<NormRole, readonly [string, string]>

/** In the order in which checkpoints are written. */
export function layerTensors(c: ModelConfig, layer: number): LayerTensor[] {
  const [H, I, D] = [c.hiddenSize, c.intermediateSize, c.headDim]
  const [Q, K] = [c.numAttentionHeads * D, c.numKeyValueHeads * D]
  const tensor = (role: LayerRole, part: Part, [name, gguf]: readonly [string, string], kind: string, shape: number[]) => {
    const at = `model.layers.${layer}.${name}`
    const stored = { name: `${at}.${kind}`, shape, gguf: `blk.${layer}.${gguf}.${kind}` }
    return { role, part, layer: at, shape, stored, row: 0 }
  }
  const norm = (role: NormRole, size: number): LayerTensor => tensor(role, 'norm', normNames[role], 'weight', [size])
  const linear = (role: LinearRole, part: Part, out: number, inner: number, bias: boolean): LayerTensor[] => [
    tensor(role, part, linearNames[role], 'weight', [out, inner]),
    ...(bias ? [tensor(`${role}Bias`, part, linearNames[role], 'bias', [out])] : []),
  ]
  return [
    norm('inputNorm', H),
    ...linear('q', 'attention', Q, H, c.attentionBias.qkv),
    ...linear('k', 'attention', K, H, c.attentionBias.qkv),
    ...linear('v', 'attention', K, H, c.attentionBias.qkv),
    ...(c.qkNorm ? [norm('qNorm', D), norm('kNorm', D)] : []),
    ...linear('o', 'attention', H, Q, c.attentionBias.o),
    norm('postNorm', H),
    ...linear('gate', 'mlp', I, H, c.mlpBias),
    ...linear('up', 'mlp', I, H, c.mlpBias),
    ...linear('down', 'mlp', H, I, c.mlpBias),
  ]
}

/** The same by role. */
export const layerByRole = (c: ModelConfig, layer: number): ReadonlyMap<LayerRole, LayerTensor> =>
  new Map(layerTensors(c, layer).map((tensor) => [tensor.role, tensor]))
