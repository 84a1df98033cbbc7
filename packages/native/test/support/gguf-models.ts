/** Small llama models of random weights in GGUF files, in any of its types. */
import { writeFile } from 'node:fs/promises'
import { blockFormats, type GgmlType } from '../../../core/src/checkpoint/gguf/blocks.ts'
import { entry, writeGguf } from '../../../core/src/checkpoint/testing/gguf-writer.ts'
import { memorySink } from '../../../core/src/checkpoint/testing/memory-sink.ts'

export const sizes = { hidden: 256, intermediate: 512, vocabulary: 100, heads: 4, kvHeads: 2 }
export const quantisedTypes = (Object.keys(blockFormats) as GgmlType[]).filter((type) => blockFormats[type].groups)
export const floatTypes = ['F32', 'F16', 'BF16'] as const

/** Blocks of random integers. Halfs of scales are 2^-14 to 2^-7 or minus that; the first block's are 0. */
function randomBlocks(type: GgmlType, elements: number, seed: number): Uint8Array {
  const { bytes: size, elements: each } = blockFormats[type]
  const bytes = new Uint8Array((elements / each) * size)
  let state = seed
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  if (type === 'F32') return new Uint8Array(Float32Array.from({ length: elements }, (_, i) => Math.sin(seed + i) / 20).buffer)
  if (type === 'F16') for (let i = 1; i < bytes.length; i += 2) bytes[i] = (bytes[i]! & 0x87) | 0x20
  else if (type === 'BF16') for (let i = 1; i < bytes.length; i += 2) bytes[i] = (bytes[i]! & 0x80) | 0x3c
  else {
    const halfs = type === 'Q6_K' ? [208] : blockFormats[type].groups!.minimum ? [0, 2] : [0]
    for (let at = 0; at < bytes.length; at += size)
      for (const half of halfs) bytes[at + half + 1] = (bytes[at + half + 1]! & 0x87) | 0x08
    if (halfs.length === 2) bytes.fill(0, 0, 2)
  }
  return bytes
}

interface Types {
  readonly output: GgmlType
  /** Default: as the others. */
  readonly embedding?: GgmlType
  /** Of the other matrices, in turns. */
  readonly others: readonly GgmlType[]
}

/** A llama of two layers. @returns the output matrix's blocks */
export async function writeModel(path: string, { output, embedding, others }: Types): Promise<Uint8Array> {
  const { hidden: H, intermediate: I, vocabulary: V, heads, kvHeads } = sizes
  const K = (H / heads) * kvHeads
  let seed = 0
  const tensor = (name: string, type: GgmlType, ...shape: number[]) => {
    const blocks = randomBlocks(
      type,
      shape.reduce((a, b) => a * b, 1),
      ++seed,
    )
    return { name, type, shape, blocks, chunks: () => [blocks] }
  }
  const matrix = (name: string, outputs: number, inputs: number) =>
    tensor(`${name}.weight`, others[seed % others.length]!, outputs, inputs)
  const norm = (name: string) => tensor(`${name}.weight`, 'F32', H)
  const embed = embedding ? tensor('token_embd.weight', embedding, V, H) : matrix('token_embd', V, H)
  const tensors = [embed, tensor('output.weight', output, V, H), norm('output_norm')]
  for (let layer = 0; layer < 2; layer++) {
    const of = (name: string) => `blk.${layer}.${name}`
    tensors.push(norm(of('attn_norm')), matrix(of('attn_q'), H, H), matrix(of('attn_k'), K, H), matrix(of('attn_v'), K, H))
    tensors.push(matrix(of('attn_output'), H, H), norm(of('ffn_norm')), matrix(of('ffn_gate'), I, H), matrix(of('ffn_up'), I, H))
    tensors.push(matrix(of('ffn_down'), H, I))
  }
  const sink = memorySink()
  await writeGguf(
    sink,
    {
      'general.architecture': entry('string', 'llama'),
      'llama.block_count': entry('uint32', 2),
      'llama.context_length': entry('uint32', 64),
      'llama.embedding_length': entry('uint32', H),
      'llama.feed_forward_length': entry('uint32', I),
      'llama.attention.head_count': entry('uint32', heads),
      'llama.attention.head_count_kv': entry('uint32', kvHeads),
      'llama.attention.layer_norm_rms_epsilon': entry('float32', 1e-5),
    },
    tensors,
  )
  await writeFile(path, sink.bytes())
  return tensors[1]!.blocks
}
