import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ErrorKind } from '../../errors.ts'
import type { RopeScaling } from '../../model/config.ts'
import { bytesSource } from '../byte-source.ts'
import { parseModelConfig } from '../config.ts'
import { castBytes, readChunks, readF32 } from '../read-tensor.ts'
import { parseSafetensors } from '../safetensors.ts'
import { type StoredDType, sortTensors } from '../tensor.ts'
import { join } from '../testing/bytes.ts'
import { arrayEntry, entry, type GgufEntry, type GgufTensorToWrite, writeGguf } from '../testing/gguf-writer.ts'
import { memorySink } from '../testing/memory-sink.ts'
import { type GgufFile, parseGguf } from './gguf.ts'
import { type GgufModel, readGgufModel } from './model.ts'
import { recogniseRopeFreqs } from './rope.ts'

const fixtures = new URL('../../../../../fixtures/', import.meta.url)
const source = async (path: string) => bytesSource(new Uint8Array(await readFile(new URL(path, fixtures))), path)

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return join(...parts)
}

// The files were written by PyPI's gguf from these checkpoints: fixtures/gguf/README.md.
// What a GGUF file cannot say: `query_pre_attn_scalar`, which llama.cpp takes to be the head size.
const originals: [gguf: string, folder: string, dtype: StoredDType, unsaid?: Record<string, unknown>][] = [
  ['llama-linear', 'transformers/llama-linear', 'F32'],
  ['qwen3-tied-bf16', 'transformers/qwen3-tied-bf16', 'BF16'],
  ['qwen2-p1', 'goldens/qwen2-p1', 'F16'],
  ['phi3-window', 'transformers/phi3-window', 'F32'],
  ['phi3-partial', 'transformers/phi3-partial', 'F32'],
  ['gemma2', 'transformers/gemma2', 'F32', { query_pre_attn_scalar: 32 }],
  ['olmo2', 'transformers/olmo2', 'F32'],
]

describe.each(originals)('%s.gguf', (name, folder, dtype, unsaid = {}) => {
  let model: GgufModel
  beforeAll(async () => {
    model = await readGgufModel(await source(`gguf/${name}.gguf`))
  })

  it('gives the tensors of the checkpoint it was made from, bit for bit', async () => {
    const { tensors: original } = sortTensors((await parseSafetensors(await source(`${folder}/model.safetensors`))).tensors)
    expect(new Set(model.tensors.map((tensor) => tensor.name))).toEqual(new Set(original.keys()))
    for (const tensor of model.tensors) {
      const expected = original.get(tensor.name)!
      expect(tensor.shape).toEqual(expected.shape)
      expect(tensor.dtype).toBe(dtype)
      let expectedBytes = castBytes(await collect(readChunks(expected)), expected.dtype, dtype)
      // Stored with 1 added, in float32: what transformers' reader of GGUF files makes of them, too.
      if (name === 'gemma2' && tensor.name.endsWith('norm.weight')) {
        const stored = (await readF32(expected)).map((x) => Math.fround(x + 1))
        expectedBytes = new Uint8Array(stored.map((x) => x - 1).buffer)
      }
      expect(Buffer.compare(await collect(tensor.chunks()), expectedBytes), tensor.name).toBe(0)
    }
  })

  it('gives a config that means the same', async () => {
    const json = JSON.parse(await readFile(new URL(`${folder}/config.json`, fixtures), 'utf8'))
    const { raw: _, ...expected } = parseModelConfig({ ...json, ...unsaid })
    const { raw, ...found } = parseModelConfig(model.configJson)
    expect(found).toEqual(expected)
    expect(raw.torch_dtype).toBe({ F32: 'float32', BF16: 'bfloat16', F16: 'float16' }[dtype])
  })
})

describe('rope_freqs.weight', () => {
  let file: GgufFile
  beforeAll(async () => {
    file = await parseGguf(await source('gguf/blocks.gguf'))
  })
  const divisors = async (name: string) => await readF32({ ...file.tensors.get(`${name}.rope_freqs`)!, dtype: 'F32' })
  const llama3 = (factor: number): RopeScaling => ({
    type: 'llama3',
    factor,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 8192,
  })

  it('of Llama 3.1 and 3.2 is recognised', async () => {
    expect(recogniseRopeFreqs(await divisors('llama-3.1'), 5e5, 'x')).toEqual(llama3(8))
    expect(recogniseRopeFreqs(await divisors('llama-3.2'), 5e5, 'x')).toEqual(llama3(32))
  })

  it('of ones is no scaling', () => {
    expect(recogniseRopeFreqs(new Float32Array(32).fill(1), 5e5, 'x')).toEqual({ type: 'default' })
  })

  it('of anything else is refused by name', async () => {
    const named = 'tensor rope_freqs.weight holds rotary divisors that are not those of Llama 3.1 or 3.2'
    const other = await divisors('other')
    const known = await divisors('llama-3.1')
    expect(() => recogniseRopeFreqs(other, 5e5, 'x')).toThrow(named)
    expect(() => recogniseRopeFreqs(known, 1e4, 'x')).toThrow(named)
    expect(() => recogniseRopeFreqs(known.with(3, Number.NaN), 5e5, 'x')).toThrow(named)
  })
})

describe('a small llama by hand', () => {
  const metadata: Record<string, GgufEntry> = {
    'general.architecture': entry('string', 'llama'),
    'llama.context_length': entry('uint32', 64),
    'llama.embedding_length': entry('uint32', 8),
    'llama.block_count': entry('uint32', 1),
    'llama.feed_forward_length': entry('uint32', 12),
    'llama.attention.head_count': entry('uint32', 2),
    'llama.attention.layer_norm_rms_epsilon': entry('float32', 1e-5),
    'tokenizer.ggml.eos_token_id': entry('uint32', 2),
  }
  const tensor = (name: string, ...shape: number[]): GgufTensorToWrite => ({
    name,
    type: 'F32',
    shape,
    chunks: () => [new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).buffer)],
  })
  const embedding = tensor('token_embd.weight', 5, 8)
  const read = async (entries: Record<string, GgufEntry | undefined>, tensors: GgufTensorToWrite[] = [embedding]) => {
    const sink = memorySink()
    const present = Object.entries({ ...metadata, ...entries }).filter(
      (pair): pair is [string, GgufEntry] => pair[1] !== undefined,
    )
    await writeGguf(sink, Object.fromEntries(present), tensors)
    return await readGgufModel(bytesSource(sink.bytes(), 'x.gguf'))
  }

  it('takes what llama.cpp takes for absent keys', async () => {
    expect((await read({})).configJson).toMatchObject({
      num_key_value_heads: 2,
      head_dim: 4,
      rope_theta: 10_000,
      rope_scaling: null,
      tie_word_embeddings: true,
      vocab_size: 5,
      rms_norm_eps: 1e-5,
      bos_token_id: null,
      eos_token_id: 2,
    })
  })

  it('takes one value per layer where all are equal', async () => {
    const { configJson } = await read({ 'llama.feed_forward_length': arrayEntry('int32', [12, 12]) })
    expect(configJson.intermediate_size).toBe(12)
  })

  it('ends texts at the end of a turn too', async () => {
    expect((await read({ 'tokenizer.ggml.eot_token_id': entry('uint32', 4) })).configJson.eos_token_id).toEqual([2, 4])
  })

  it.each([
    [
      ['<s>', '</s>', 'a', '<|im_end|>'],
      [2, 1, 3],
    ],
    [
      ['<s>', 'a', '<|endoftext|>', '<|eot_id|>', '<|eom_id|>'],
      [2, 3, 4],
    ],
    [
      ['<bos>', '<end_of_turn>', '<eos>', 'a'],
      [2, 1],
    ],
    // In models of these two, an answer goes on behind it.
    [
      ['<|end|>', 'a', '<|return|>', '<|call|>'],
      [2, 3],
    ],
    [
      ['<|end|>', 'a', '<|endoftext|>', 'b'],
      [2, 0],
    ],
    [['a', 'b', 'c', 'im_end'], 2],
  ])('finds the ends of turns that no key names among %j', async (tokens, expected) => {
    const { configJson } = await read({ 'tokenizer.ggml.tokens': arrayEntry('string', tokens) })
    expect(configJson.eos_token_id).toEqual(expected)
  })

  it('knows the older key of linear scaling', async () => {
    const { configJson } = await read({ 'llama.rope.scale_linear': entry('float32', 2.5) })
    expect(configJson.rope_scaling).toEqual({ rope_type: 'linear', factor: 2.5 })
  })

  it('is untied where it has an output matrix', async () => {
    const { configJson, tensors } = await read({}, [embedding, tensor('output.weight', 5, 8)])
    expect(configJson.tie_word_embeddings).toBe(false)
    expect(tensors.map((t) => t.name)).toEqual(['model.embed_tokens.weight', 'lm_head.weight'])
  })

  const refusals: [
    what: string,
    entries: Record<string, GgufEntry | undefined>,
    message: RegExp,
    kind: ErrorKind,
    tensors?: GgufTensorToWrite[],
  ][] = [
    [
      'another architecture',
      { 'general.architecture': entry('string', 'mamba') },
      /"mamba" is not supported; supported are gemma2, llama, olmo2, phi3, qwen2, qwen3/,
      'unsupported',
    ],
    [
      'no architecture',
      { 'general.architecture': undefined },
      /general\.architecture "undefined" is not supported/,
      'unsupported',
    ],
    ['experts', { 'llama.expert_count': entry('uint32', 8) }, /llama with experts \(llama\.expert_count\)/, 'unsupported'],
    [
      'partial rotation',
      { 'llama.rope.dimension_count': entry('uint32', 2) },
      /llama\.rope\.dimension_count is 2/,
      'unsupported',
    ],
    [
      'values of another size',
      { 'llama.attention.value_length': entry('uint32', 6) },
      /llama\.attention\.value_length is 6/,
      'unsupported',
    ],
    ['a sliding window', { 'llama.attention.sliding_window': entry('uint32', 16) }, /sliding_window \(16\)/, 'unsupported'],
    [
      'yarn',
      { 'llama.rope.scaling.type': entry('string', 'yarn') },
      /rope\.scaling\.type "yarn" is not supported/,
      'unsupported',
    ],
    [
      'linear scaling without a factor',
      { 'llama.rope.scaling.type': entry('string', 'linear') },
      /rope\.scaling\.factor is missing/,
      'checkpoint',
    ],
    [
      'layers that differ',
      { 'llama.feed_forward_length': arrayEntry('int32', [12, 16]) },
      /feed_forward_length differs between layers/,
      'unsupported',
    ],
    [
      'no epsilon',
      { 'llama.attention.layer_norm_rms_epsilon': undefined },
      /layer_norm_rms_epsilon should be a positive number, got nothing/,
      'checkpoint',
    ],
    [
      'a fractional number of layers',
      { 'llama.block_count': entry('float32', 1.5) },
      /block_count should be an integer, got 1.5/,
      'checkpoint',
    ],
    [
      'text for a number',
      { 'llama.block_count': entry('string', 'two') },
      /block_count should be a positive number, got two/,
      'checkpoint',
    ],
    [
      'more tokens than rows',
      { 'tokenizer.ggml.tokens': arrayEntry('string', [...'abcdef']) },
      /has 6 tokens, but token_embd\.weight only 5 rows/,
      'checkpoint',
    ],
    ['no embedding', {}, /token_embd\.weight should be \[vocabulary, hidden\], got \[nothing\]/, 'checkpoint', []],
    [
      'an unknown tensor',
      {},
      /tensor blk\.0\.ssm_in\.weight has no place in llama models/,
      'unsupported',
      [embedding, tensor('blk.0.ssm_in.weight', 2)],
    ],
    [
      'rope_freqs of another size',
      {},
      /rope_freqs\.weight should be \[2\], got \[3\]/,
      'checkpoint',
      [embedding, tensor('rope_freqs.weight', 3)],
    ],
    [
      'rope_freqs we do not know',
      {},
      /rope_freqs\.weight holds rotary divisors/,
      'unsupported',
      [embedding, tensor('rope_freqs.weight', 2)],
    ],
    [
      'queries that are no whole heads',
      {},
      /attn_q\.weight: 6 rows of F32 are not 2 heads of even size/,
      'checkpoint',
      [embedding, tensor('blk.0.attn_q.weight', 6, 8)],
    ],
    [
      'query biases whose heads are no whole blocks',
      {},
      /attn_q\.bias: 32 rows of Q4_0 are not 2 heads of even size and whole blocks/,
      'checkpoint',
      [embedding, { name: 'blk.0.attn_q.bias', type: 'Q4_0', shape: [32], chunks: () => [new Uint8Array(18)] }],
    ],
  ]
  it.each(refusals)('with %s is refused', async (_, entries, message, kind, tensors) => {
    await expect(read(entries, tensors)).rejects.toThrow(message)
    await expect(read(entries, tensors)).rejects.toMatchObject({ kind, facts: { file: 'x.gguf' } })
  })
})
