/**
 * Files from a hostile hand: valid ones with bytes changed, and plain noise. Whatever comes, a parser answers or throws a
 * ParscaleError, reads no more than a small multiple of the file and returns no more than the file can hold.
 *
 * 100,000 inputs in all; PARSCALE_FUZZ_MS=600000 goes on for that many milliseconds.
 */
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { isParscaleError } from '../errors.ts'
import type { ByteSource } from './byte-source.ts'
import { parseModelConfig } from './config.ts'
import type { GgufValue } from './gguf/gguf.ts'
import { readGgufModel } from './gguf/model.ts'
import { readChunks } from './read-tensor.ts'
import { parseSafetensors } from './safetensors.ts'
import { parseSafetensorsIndex } from './safetensors-index.ts'
import { streamBytes } from './tensor-stream.ts'
import { join, safetensorsBytes, u32, u64, utf8 } from './testing/bytes.ts'
import { arrayEntry, entry, type GgufTensorToWrite, writeGguf } from './testing/gguf-writer.ts'
import { memorySink } from './testing/memory-sink.ts'

const fuzzMs = Number(process.env.PARSCALE_FUZZ_MS ?? 0)
const leastInputs = 100_000
const inputsPerRound = 5_000

/** A source that counts, and refuses reads outside itself as a file would. */
function countingSource(bytes: Uint8Array): ByteSource & { bytesRead: number } {
  return {
    name: 'fuzz',
    size: bytes.byteLength,
    bytesRead: 0,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.byteLength)) throw new RangeError('read outside the source')
      this.bytesRead += length
      return bytes.subarray(offset, offset + length)
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

/** One target: what is parsed, and what must hold of what comes out. */
const targets: Readonly<Record<string, (bytes: Uint8Array) => Promise<void>>> = {
  async safetensors(bytes) {
    const source = countingSource(bytes)
    const { tensors } = await parseSafetensors(source).finally(() =>
      expect(source.bytesRead).toBeLessThanOrEqual(bytes.byteLength),
    )
    let data = 0
    for (const tensor of tensors) {
      for await (const chunk of readChunks(tensor)) data += chunk.byteLength
    }
    expect(data).toBeLessThanOrEqual(bytes.byteLength)
  },
  async gguf(bytes) {
    const source = countingSource(bytes)
    const { metadata, tensors } = await readGgufModel(source).finally(() =>
      expect(source.bytesRead).toBeLessThanOrEqual(2 * bytes.byteLength),
    )
    expect([...metadata.values()].reduce((sum: number, value) => sum + heldBytes(value), 0)).toBeLessThanOrEqual(bytes.byteLength)
    for (const tensor of tensors) {
      let data = 0
      for await (const chunk of tensor.chunks()) data += chunk.byteLength
      expect(data).toBe(streamBytes(tensor))
      // The tightest blocks, Q4_0, keep 32 elements in 18 bytes.
      expect(data).toBeLessThanOrEqual((128 / 18) * bytes.byteLength)
    }
  },
  async 'safetensors index'(bytes) {
    for (const shard of parseSafetensorsIndex(new TextDecoder().decode(bytes), 'fuzz').values())
      expect(shard).not.toMatch(/[/\\]/)
  },
  async config(bytes) {
    let json: unknown
    try {
      json = JSON.parse(new TextDecoder().decode(bytes))
    } catch {
      return
    }
    expect(parseModelConfig(json, 'fuzz').headDim % 2).toBe(0)
  },
}

/** Valid files to begin with, by target. */
const seeds: Record<string, Uint8Array[]> = {}

beforeAll(async () => {
  const config = {
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
    layer_types: ['sliding_attention'],
    eos_token_id: [1, 2],
    parscale_n: 2,
    parscale_n_tokens: 3,
    parscale_attn_smooth: 0.01,
  }
  seeds.config = [utf8(JSON.stringify(config))]
  seeds['safetensors index'] = [
    utf8('{"metadata":{"total_size":8},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}'),
  ]
  seeds.safetensors = [
    safetensorsBytes(
      {
        __metadata__: { format: 'pt' },
        'a.weight': { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
        b: { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
        mask: { dtype: 'BOOL', shape: [2], data_offsets: [32, 34] },
      },
      34,
    ),
  ]
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
  const ones = new Uint8Array(Float32Array.from({ length: 8 }, () => 1).buffer)
  seeds.gguf = [join(sink.bytes().subarray(0, -32), ones)]
})

/** One change to a file. Positions are fractions, so that they shrink towards the start and fit any file. */
type Edit = { readonly at: number; readonly change: Change }
type Change = { readonly replace: Uint8Array } | { readonly insert: Uint8Array } | { readonly remove: number } | 'cut'

const telling = [0n, 1n, 7n, 255n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const pieces = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 8 }),
  fc.constantFrom(...telling.map(u64), ...telling.map((value) => u32(Number(BigInt.asUintN(32, value))))),
  fc.constantFrom(...['{', '}', '[', ']', '"', '\\', ',', '-1', '1e99', 'null', '"a":', '../', '0', '\ud800'].map(utf8)),
)
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: pieces.map((replace) => ({ replace })) },
  { weight: 2, arbitrary: pieces.map((insert) => ({ insert })) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 16 }).map((remove) => ({ remove })) },
  { weight: 1, arbitrary: fc.constant('cut' as const) },
)
const edits = fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), change }), { minLength: 1, maxLength: 4 })

function apply(file: Uint8Array, { at, change }: Edit): Uint8Array {
  const position = Math.floor(at * file.byteLength)
  const before = file.subarray(0, position)
  if (change === 'cut') return before
  if ('insert' in change) return join(before, change.insert, file.subarray(position))
  if ('remove' in change) return join(before, file.subarray(position + change.remove))
  return join(before, change.replace, file.subarray(position + change.replace.byteLength))
}

async function attempt(target: string, bytes: Uint8Array): Promise<boolean> {
  try {
    await targets[target]!(bytes)
    return true
  } catch (error) {
    if (isParscaleError(error)) return false
    throw error
  }
}

it('the files to begin with are valid', async () => {
  for (const [target, files] of Object.entries(seeds)) {
    for (const file of files) expect(await attempt(target, file), target).toBe(true)
  }
})

it('no file makes a parser crash, hang or take more memory than the file warrants', { timeout: 240_000 + fuzzMs }, async () => {
  const names = Object.keys(targets)
  // The parsers of bytes get most of the inputs.
  const target = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('gguf', 'safetensors') },
    { weight: 1, arbitrary: fc.constantFrom(...names) },
  )
  const noise = fc.tuple(
    fc.constantFrom(new Uint8Array(0), utf8('GGUF\x03\0\0\0'), u64(16), utf8('{"')),
    fc.uint8Array({ maxLength: 256 }),
  )
  const input = target.chain((name) =>
    fc.oneof(
      { weight: 9, arbitrary: edits.map((list) => ({ name, bytes: list.reduce(apply, seeds[name]![0]!) })) },
      { weight: 1, arbitrary: noise.map((parts) => ({ name, bytes: join(...parts) })) },
    ),
  )
  const start = performance.now()
  let inputs = 0
  let accepted = 0
  const property = fc.asyncProperty(input, async ({ name, bytes }) => {
    inputs++
    if (await attempt(name, bytes)) accepted++
  })
  while (inputs < leastInputs || performance.now() - start < fuzzMs) await fc.assert(property, { numRuns: inputsPerRound })
  // Changes are small enough that many files stay valid: then not everything was turned away at the door.
  expect(accepted).toBeGreaterThan(inputs / 100)
  expect(accepted).toBeLessThan(inputs)
})
