/** The parsers of weights and of what says how to read them. */
import { type ByteSource, bytesSource } from '../../checkpoint/byte-source.ts'
import { parseModelConfig } from '../../checkpoint/config.ts'
import type { GgufValue } from '../../checkpoint/gguf/gguf.ts'
import { readGgufModel } from '../../checkpoint/gguf/model.ts'
import { parseJsonText } from '../../checkpoint/json-text.ts'
import { readChunks } from '../../checkpoint/read-tensor.ts'
import { parseSafetensors } from '../../checkpoint/safetensors.ts'
import { parseSafetensorsIndex } from '../../checkpoint/safetensors-index.ts'
import { streamBytes } from '../../checkpoint/tensor-stream.ts'
import { join, safetensorsBytes, u64, utf8 } from '../../checkpoint/testing/bytes.ts'
import { arrayEntry, entry, type GgufTensorToWrite, writeGguf } from '../../checkpoint/testing/gguf-writer.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { ggufContents } from '../../contents/model-contents.ts'
import { createTokenizer } from '../../tokenizer/tokenizer.ts'
import { tokenizerFiles } from '../../tokenizer/tokenizer-files.ts'
import type { FuzzTarget } from './fuzz.ts'

export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
export const jsonOf = (value: unknown): Uint8Array => utf8(JSON.stringify(value))

/** @throws Error that says what does not hold */
export function holds(condition: boolean, invariant: string): void {
  if (!condition) throw new Error(`does not hold: ${invariant}`)
}

/** A source that counts, and refuses reads outside itself as a file would. */
function countingSource(bytes: Uint8Array): ByteSource & { bytesRead: number } {
  const source = bytesSource(bytes, 'fuzz')
  return {
    ...source,
    bytesRead: 0,
    read(offset, length) {
      this.bytesRead += length
      return source.read(offset, length)
    },
  }
}

/** Bytes or characters that a value holds, nested ones included. */
function heldBytes(value: GgufValue): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object') return 1
  if (ArrayBuffer.isView(value)) return value.byteLength
  return (value as readonly GgufValue[]).reduce((sum: number, item) => sum + heldBytes(item), 0)
}

async function readSafetensors(bytes: Uint8Array): Promise<void> {
  const source = countingSource(bytes)
  const { tensors } = await parseSafetensors(source).finally(() =>
    holds(source.bytesRead <= bytes.byteLength, 'a header reads no more than the file'),
  )
  let data = 0
  for (const tensor of tensors) for await (const chunk of readChunks(tensor)) data += chunk.byteLength
  holds(data <= bytes.byteLength, 'tensors are no more than the file')
}

async function readGguf(bytes: Uint8Array): Promise<void> {
  const source = countingSource(bytes)
  const { metadata, tensors } = await readGgufModel(source).finally(() =>
    holds(source.bytesRead <= 2 * bytes.byteLength, 'a header reads no more than twice the file'),
  )
  const held = [...metadata.values()].reduce((sum: number, value) => sum + heldBytes(value), 0)
  holds(held <= bytes.byteLength, 'metadata are no more than the file')
  for (const tensor of tensors) {
    let data = 0
    for await (const chunk of tensor.chunks()) data += chunk.byteLength
    holds(data === streamBytes(tensor), 'a tensor has the bytes that its shape says')
    // The tightest blocks, Q4_0, keep 32 elements in 18 bytes.
    holds(data <= (128 / 18) * bytes.byteLength, 'a tensor is no more than its blocks can hold')
  }
}

export const configSeed = {
  model_type: 'qwen2_parscale',
  vocab_size: 9,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  rope_scaling: {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
  },
  max_position_embeddings: 64,
  sliding_window: 4,
  use_sliding_window: true,
  max_window_layers: 0,
  layer_types: ['sliding_attention'],
  eos_token_id: [1, 2],
  parscale_n: 2,
  parscale_n_tokens: 3,
  parscale_attn_smooth: 0.01,
}

const safetensorsSeed = safetensorsBytes(
  {
    __metadata__: { format: 'pt' },
    'a.weight': { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    b: { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
    mask: { dtype: 'BOOL', shape: [2], data_offsets: [32, 34] },
  },
  34,
)

async function ggufSeed(): Promise<Uint8Array> {
  const tensor = (name: string, type: GgufTensorToWrite['type'], shape: number[], bytes: number): GgufTensorToWrite => ({
    name,
    type,
    shape,
    chunks: () => [new Uint8Array(bytes).fill(0x2a)],
  })
  const sink = memorySink()
  await writeGguf(
    sink,
    {
      'general.architecture': entry('string', 'llama'),
      'llama.context_length': entry('uint32', 64),
      'llama.block_count': entry('uint32', 1),
      'llama.feed_forward_length': arrayEntry('int32', [12]),
      'llama.attention.head_count': entry('uint32', 2),
      'llama.attention.layer_norm_rms_epsilon': entry('float32', 1e-5),
      'llama.rope.scaling.factor': entry('float64', 2),
      'tokenizer.ggml.tokens': arrayEntry('string', ['<s>', 'a', 'bc']),
      'tokenizer.ggml.add_bos_token': entry('bool', true),
      'general.alignment': entry('uint32', 32),
    },
    [
      tensor('token_embd.weight', 'F16', [4, 32], 256),
      tensor('blk.0.attn_q.weight', 'Q4_0', [4, 32], 72),
      tensor('blk.0.attn_k.bias', 'F32', [4], 16),
      tensor('rope_freqs.weight', 'F32', [8], 32),
    ],
  )
  // Ones, so that there is a GGUF that is valid to the end.
  return join(sink.bytes().subarray(0, -32), new Uint8Array(Float32Array.from({ length: 8 }, () => 1).buffer))
}

async function ggufTokenizerSeed(model: 'gpt2' | 'llama'): Promise<Uint8Array> {
  const sink = memorySink()
  const tokens = model === 'gpt2' ? ['<|end|>', 'a', 'b', 'ab'] : ['<unk>', '<s>', '</s>', '\u2581', 'a', '\u2581a']
  await writeGguf(
    sink,
    {
      'general.architecture': entry('string', 'llama'),
      'llama.context_length': entry('uint32', 64),
      'llama.embedding_length': entry('uint32', 4),
      'llama.block_count': entry('uint32', 1),
      'llama.feed_forward_length': entry('uint32', 12),
      'llama.attention.head_count': entry('uint32', 2),
      'llama.attention.layer_norm_rms_epsilon': entry('float32', 1e-5),
      'tokenizer.ggml.model': entry('string', model),
      'tokenizer.ggml.pre': entry('string', 'default'),
      'tokenizer.ggml.tokens': arrayEntry('string', tokens),
      'tokenizer.ggml.scores': arrayEntry(
        'float32',
        tokens.map((_, i) => -i),
      ),
      'tokenizer.ggml.token_type': arrayEntry(
        'int32',
        tokens.map((_, i) => (i < 1 ? 3 : 1)),
      ),
      ...(model === 'gpt2' && { 'tokenizer.ggml.merges': arrayEntry('string', ['a b']) }),
      'tokenizer.ggml.bos_token_id': entry('uint32', 0),
      'tokenizer.chat_template': entry('string', '{{ messages[0].content }}'),
    },
    [{ name: 'token_embd.weight', type: 'F32', shape: [tokens.length, 4], chunks: () => [new Uint8Array(16 * tokens.length)] }],
  )
  return sink.bytes()
}

const beginnings = [new Uint8Array(0), utf8('GGUF\x03\0\0\0'), u64(16), utf8('{"')]

export const weightTargets = async (): Promise<FuzzTarget[]> => [
  {
    name: 'safetensors',
    seeds: [...Array<Uint8Array>(16).fill(safetensorsSeed), ...beginnings],
    parse: readSafetensors,
    kinds: ['checkpoint', 'unsupported'],
    growth: 100,
    weight: 4.5,
  },
  {
    name: 'safetensors index',
    seeds: [utf8('{"metadata":{"total_size":8},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}')],
    parse: (bytes) => {
      for (const shard of parseSafetensorsIndex(textOf(bytes), 'fuzz').values())
        holds(!/[/\\]/.test(shard), 'a shard lies beside the index')
    },
    kinds: ['checkpoint'],
    growth: 100,
  },
  {
    name: 'GGUF',
    seeds: [...Array<Uint8Array>(16).fill(await ggufSeed()), ...beginnings],
    parse: readGguf,
    kinds: ['checkpoint', 'unsupported'],
    growth: 100,
    weight: 4.5,
  },
  {
    name: 'GGUF with a tokenizer',
    seeds: [await ggufTokenizerSeed('gpt2'), await ggufTokenizerSeed('llama')],
    parse: async (bytes) => {
      const { files } = await ggufContents(bytesSource(bytes, 'fuzz'))
      for (const [name, file] of files) if (name.endsWith('.json')) parseJsonText(textOf(file), name)
      const readText = async (name: string) => files.get(name) && textOf(files.get(name)!)
      const tokenizer = createTokenizer(await tokenizerFiles({ path: 'fuzz', readText }), 'fuzz')
      holds(typeof tokenizer.decode(tokenizer.encode('ab  \u00e9')) === 'string', 'ids of the tokenizer are text')
    },
    kinds: ['checkpoint', 'unsupported', 'usage', 'resource'],
    growth: 400,
  },
  {
    name: 'config.json',
    seeds: [jsonOf(configSeed)],
    parse: (bytes) => {
      const { headDim, parscale } = parseModelConfig(parseJsonText(textOf(bytes), 'fuzz'), 'fuzz')
      holds(headDim % 2 === 0 && parscale.n >= 1, 'heads have pairs, there is a stream')
    },
    kinds: ['checkpoint', 'unsupported'],
    growth: 1000,
  },
]
