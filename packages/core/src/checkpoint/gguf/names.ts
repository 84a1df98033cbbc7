/** llama.cpp's tensor names and Hugging Face's; gguf-py/gguf/tensor_mapping.py. */
import type { GgufArchitecture } from './config.ts'

const outside: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
}

const inLayer: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** Hugging Face's name of a tensor; undefined for one that these families do not have. */
export function huggingFaceName(name: string): string | undefined {
  const layer = /^blk\.(0|[1-9]\d*)\.(\w+)\.(weight|bias)$/.exec(name)
  if (!layer) return Object.hasOwn(outside, name) ? outside[name] : undefined
  const [, index, part, kind] = layer as unknown as [string, string, string, string]
  return Object.hasOwn(inLayer, part) ? `model.layers.${index}.${inLayer[part]}.${kind}` : undefined
}

/**
 * Which heads' rows llama.cpp has reordered in a tensor: its llama graph rotates neighbouring pairs, where Hugging Face's
 * rotates halves, so that convert_hf_to_gguf.py (`LlamaModel.permute`) interleaves the rows of each query and key head.
 */
export function permutedHeads(architecture: GgufArchitecture, name: string): 'query' | 'key' | undefined {
  if (architecture !== 'llama') return undefined
  if (/\.attn_q\.(weight|bias)$/.test(name)) return 'query'
  return /\.attn_k\.(weight|bias)$/.test(name) ? 'key' : undefined
}
