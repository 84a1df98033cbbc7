/**
 * The tensors of one decoder layer, listed once: readers, writers, the graph's builder, packing and counts all read this list.
 * An entry is what the computation asks for; `stored` is the checkpoint's tensor that holds it, all of it or some of its rows.
 */
import type { ModelConfig } from './config.ts'

export type Part = 'embedding' | 'attention' | 'mlp' | 'norm' | 'output' | 'prefix' | 'adapter' | 'aggregation'

/** A tensor that a model has, under the checkpoint's name. */
export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly part: Part
}

/** Linear layers, by what they compute. */
export const linearRoles = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const
export type LinearRole = (typeof linearRoles)[number]
/** What linear layers read, each with those that read it: `name` is what their matrices are called where they are stored as one. */
export const linearInputs = {
  qkv: { name: 'self_attn.qkv_proj', roles: ['q', 'k', 'v'] },
  o: { name: 'self_attn.o_proj', roles: ['o'] },
  gateUp: { name: 'mlp.gate_up_proj', roles: ['gate', 'up'] },
  down: { name: 'mlp.down_proj', roles: ['down'] },
} as const satisfies Record<string, { readonly name: string; readonly roles: readonly LinearRole[] }>
export type LinearInput = keyof typeof linearInputs

/** Of a layer: before and after attention, before and after the MLP; and of queries and keys. */
export type NormRole = 'inputNorm' | 'attentionOutNorm' | 'postNorm' | 'mlpOutNorm' | 'qNorm' | 'kNorm'
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

/** What fused matrices are called. llama.cpp has no name of its own for gate and up together. */
const fusedNames = { attention: ['self_attn.qkv_proj', 'attn_qkv'], mlp: ['mlp.gate_up_proj', 'ffn_up'] } as const

/** In the order in which checkpoints are written. */
export function layerTensors(c: ModelConfig, layer: number): LayerTensor[] {
  const [H, I, D] = [c.hiddenSize, c.intermediateSize, c.headDim]
  const [Q, K] = [c.numAttentionHeads * D, c.numKeyValueHeads * D]
  const tensor = (role: LayerRole, part: Part, [name, gguf]: readonly [string, string], kind: string, shape: number[]) => {
    const at = `model.layers.${layer}.${name}`
    const stored = { name: `${at}.${kind}`, shape, gguf: `blk.${layer}.${gguf}.${kind}` }
    return { role, part, layer: at, shape, stored, row: 0 }
  }
  const norm = (role: NormRole, name: string | null, gguf: string, size = H): LayerTensor[] =>
    name === null ? [] : [tensor(role, 'norm', [name, gguf], 'weight', [size])]
  const linear = (role: LinearRole, part: Part, out: number, inner: number, bias: boolean): LayerTensor[] => [
    tensor(role, part, linearNames[role], 'weight', [out, inner]),
    ...(bias ? [tensor(`${role}Bias`, part, linearNames[role], 'bias', [out])] : []),
  ]
  const { norms, fused } = c.features
  const fuse = (part: 'attention' | 'mlp', tensors: LayerTensor[]) => (fused ? asRows(tensors, layer, fusedNames[part]) : tensors)
  const qkv = [
    ...linear('q', 'attention', Q, H, c.attentionBias.qkv),
    ...linear('k', 'attention', K, H, c.attentionBias.qkv),
    ...linear('v', 'attention', K, H, c.attentionBias.qkv),
  ]
  const gateUp = [...linear('gate', 'mlp', I, H, c.mlpBias), ...linear('up', 'mlp', I, H, c.mlpBias)]
  const [qSize, kSize] = c.qkNorm === 'projection' ? [Q, K] : [D, D]
  return [
    ...norm('inputNorm', norms.beforeAttention, 'attn_norm'),
    ...fuse('attention', qkv),
    ...(c.qkNorm ? norm('qNorm', 'self_attn.q_norm', 'attn_q_norm', qSize) : []),
    ...(c.qkNorm ? norm('kNorm', 'self_attn.k_norm', 'attn_k_norm', kSize) : []),
    ...linear('o', 'attention', H, Q, c.attentionBias.o),
    ...norm('attentionOutNorm', norms.afterAttention, 'post_attention_norm'),
    ...norm('postNorm', norms.beforeMlp, 'ffn_norm'),
    ...fuse('mlp', gateUp),
    ...linear('down', 'mlp', H, I, c.mlpBias),
    ...norm('mlpOutNorm', norms.afterMlp, 'post_ffw_norm'),
  ]
}

/** Matrices, and their biases, as the rows of one stored tensor each. */
function asRows(tensors: readonly LayerTensor[], layer: number, [name, gguf]: readonly [string, string]): LayerTensor[] {
  const rows = { weight: 0, bias: 0 }
  const kindOf = ({ shape }: LayerTensor) => (shape.length === 1 ? 'bias' : 'weight')
  return tensors.map((tensor) => {
    const kind = kindOf(tensor)
    const together = tensors.filter((other) => kindOf(other) === kind)
    const shape = [together.reduce((sum, other) => sum + other.shape[0]!, 0), ...tensor.shape.slice(1)]
    const stored = { name: `model.layers.${layer}.${name}.${kind}`, shape, gguf: `blk.${layer}.${gguf}.${kind}` }
    const row = rows[kind]
    rows[kind] += tensor.shape[0]!
    return { ...tensor, stored, row }
  })
}

/** The same by role. */
export const layerByRole = (c: ModelConfig, layer: number): ReadonlyMap<LayerRole, LayerTensor> =>
  new Map(layerTensors(c, layer).map((tensor) => [tensor.role, tensor]))
