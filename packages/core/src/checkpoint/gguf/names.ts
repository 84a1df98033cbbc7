/** llama.cpp's tensor names and Hugging Face's; gguf-py/gguf/tensor_mapping.py. */
import type { ModelConfig } from '../../model/config.ts'
import type { GgufFamily } from '../../model/families.ts'
import { type LayerTensor, layerTensors } from '../../model/layer-tensors.ts'

export interface NamedTensor {
  /** Hugging Face's. */
  readonly name: string
  /** The number of heads whose rows llama.cpp has reordered. */
  readonly permutedHeads?: number | undefined
  /** What the converter added to each number: norms are stored as what they multiply by. */
  readonly offset?: number | undefined
}

/** What each tensor of a GGUF file is, by llama.cpp's name. */
export function ggufNames(config: ModelConfig, gguf: GgufFamily): ReadonlyMap<string, NamedTensor> {
  // Whether a bias belongs to the model is checked at load, where its absence is too.
  const biased: ModelConfig = { ...config, attentionBias: { qkv: true, o: true }, mlpBias: true }
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => layerTensors(biased, layer)).flat()
  const offset = config.features.normOffset
  return new Map<string, NamedTensor>([
    ['token_embd.weight', { name: 'model.embed_tokens.weight' }],
    ['output_norm.weight', { name: 'model.norm.weight', offset }],
    ['output.weight', { name: 'lm_head.weight' }],
    ...layers.map((tensor) => {
      const { stored, part } = tensor
      const permutedHeads = gguf.permuted ? rotatedHeads(config, tensor) : undefined
      return [stored.gguf, { name: stored.name, permutedHeads, offset: part === 'norm' ? offset : undefined }] as const
    }),
  ])
}

/**
 * The heads of a tensor that is rotated: llama.cpp's llama graph rotates neighbouring pairs, where Hugging Face's rotates
 * halves, so that convert_hf_to_gguf.py (`LlamaModel.permute`) interleaves the rows of each query and key head.
 */
function rotatedHeads(config: ModelConfig, { role }: LayerTensor): number | undefined {
  if (role === 'q' || role === 'qBias') return config.numAttentionHeads
  return role === 'k' || role === 'kBias' ? config.numKeyValueHeads : undefined
}
