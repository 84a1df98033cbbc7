/** Weights that are packed in memory, straight from a GGUF file: the numbers of its blocks, and what the packed file of it would give. */
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelFiles } from '@parscale/core/internal/generation'
import { openStreamed } from '@parscale/core/internal/node/models'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blockFormats, decodeBlocks, type GgmlType } from '../../core/src/checkpoint/gguf/blocks.ts'
import { entry, writeGguf } from '../../core/src/checkpoint/testing/gguf-writer.ts'
import { memorySink } from '../../core/src/checkpoint/testing/memory-sink.ts'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { nativeDecoder, nativeRefusal } from '../src/native-decoder.ts'
import { NativeModel, requireModule } from '../src/native-model.ts'
import { writePacked } from '../src/pack.ts'
import { memoryPlan, packInMemory } from '../src/pack-memory.ts'
import { planBackbone } from '../src/pack-plan.ts'
import { batch } from './support/batches.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-pack-memory-'))
})
afterAll(() => rm(scratch, { recursive: true }))

const sizes = { hidden: 256, intermediate: 512, vocabulary: 100, heads: 4, kvHeads: 2 }
const quantisedTypes = (Object.keys(blockFormats) as GgmlType[]).filter((type) => blockFormats[type].groups)
const floatTypes = ['F32', 'F16', 'BF16'] as const

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
  /** Of the other matrices, in turns. */
  readonly others: readonly GgmlType[]
}

/** A llama of two layers. @returns the output matrix's blocks */
async function writeModel(path: string, { output, others }: Types): Promise<Uint8Array> {
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
  const tensors = [matrix('token_embd', V, H), tensor('output.weight', output, V, H), norm('output_norm')]
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

async function planOf(path: string) {
  const { backbone } = await openStreamed(path, 'stored')
  const files = await modelFiles(backbone)
  const plan = planBackbone(files.config, files.findWeight, files.tied)
  return { files, plan, memory: memoryPlan(plan), close: backbone.close }
}

/** On so many threads. */
async function inMemory(path: string, threads = 2): Promise<NativeModel> {
  const { memory, close } = await planOf(path)
  const model = new NativeModel(await packInMemory(requireModule(), memory!, threads, {}))
  await close()
  return model
}

/** What a model makes of some tokens: hidden states and logits. */
async function outputOf(model: NativeModel): Promise<Float32Array> {
  const rows = model.openRows(3)
  const input = batch(model, rows, 5)
  const { hidden } = await model.run({
    ...input,
    ids: input.ids.map((_, i) => (i * 7) % model.facts.vocabSize),
    wanted: input.wanted.fill(1),
  })
  const logits = await model.logits(hidden)
  await model.dispose()
  return Float32Array.from([...hidden, ...logits])
}

async function expectPackedBits(path: string): Promise<void> {
  const { plan, close } = await planOf(path)
  const packed = join(scratch, 'packed')
  await writePacked(packed, plan)
  await close()
  const expected = await outputOf(new NativeModel(packed))
  await rm(packed)
  expect(expected.every(Number.isFinite)).toBe(true)
  for (const threads of [1, 3]) expect(await outputOf(await inMemory(path, threads))).toEqual(expected)
}

describe.each(quantisedTypes)('%s', (type) => {
  it('an output matrix gives what its blocks stand for, input by input', async () => {
    const path = join(scratch, `${type}.gguf`)
    const blocks = await writeModel(path, { output: type, others: ['F32'] })
    const weights = decodeBlocks(type, blocks)
    const { hidden: H, vocabulary: V } = sizes
    const model = await inMemory(path)
    // One input is 1, the others are 0: both are exact in 8 bits.
    const inputs = new Float32Array(H * H)
    for (let k = 0; k < H; k++) inputs[k * H + k] = 1
    const logits = await model.logits(inputs)
    await model.dispose()
    const largest = weights.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
    let error = 0
    for (let k = 0; k < H; k++)
      for (let n = 0; n < V; n++) error = Math.max(error, Math.abs(logits[k * V + n]! - weights[n * H + k]!))
    // Scale, row's scale and products are rounded to float32 once each.
    expect(error).toBeLessThan(1e-6 * largest)
  })
})

it('blocks without minima, and floats, give the bits of the packed file, with heads whose halves were interleaved', async () => {
  const path = join(scratch, 'mixed.gguf')
  const others = [...quantisedTypes.filter((type) => !blockFormats[type].groups!.minimum), ...floatTypes]
  await writeModel(path, { output: 'Q6_K', others })
  await expectPackedBits(path)
})

const ggufs = (await readdir(`${fixturesFolder}gguf`)).filter((name) => name.endsWith('.gguf') && name !== 'blocks.gguf')

it.each(ggufs)("PyPI's %s gives the bits of the packed file, where the step runs it", async (name) => {
  const path = `${fixturesFolder}gguf/${name}`
  const { files, memory, close } = await planOf(path).catch(() => ({ files: undefined, memory: undefined, close: () => {} }))
  await close()
  if (!files || nativeRefusal([files.config])) return
  expect(memory).toBeDefined()
  await expectPackedBits(path)
})

describe('a model from a GGUF file', () => {
  const path = () => join(scratch, 'model.gguf')
  const cacheDirectory = () => join(scratch, 'cache')
  beforeAll(() => writeModel(path(), { output: 'Q8_0', others: ['Q4_1', 'Q4_K'] }))

  const open = async (file: string, options: { signal?: AbortSignal; onProgress?: () => void } = {}) => {
    const { files, close } = await planOf(file)
    try {
      return await nativeDecoder(files, { cacheDirectory: cacheDirectory(), ...options })
    } finally {
      await close()
    }
  }

  it('leaves nothing in the cache', async () => {
    await (await open(path())).dispose()
    await expect(readdir(cacheDirectory())).rejects.toThrow('ENOENT')
  })

  it('goes on when its file is gone', async () => {
    const copy = join(scratch, 'gone.gguf')
    await cp(path(), copy)
    const expected = await outputOf(await inMemory(path()))
    const model = await inMemory(copy)
    await rm(copy)
    expect(await outputOf(model)).toEqual(expected)
  })

  it('is refused where it was cut short since its header was read', async () => {
    const copy = join(scratch, 'cut.gguf')
    await cp(path(), copy)
    const { memory, close } = await planOf(copy)
    await truncate(copy, (await readFile(copy)).length - 1000)
    await expect(packInMemory(requireModule(), memory!, 2, {})).rejects.toMatchObject({
      kind: 'checkpoint',
      message: /cut\.gguf: ends at byte \d+, within a tensor/,
    })
    await close()
  })

  it('is refused where a scale is not finite, by the name of the tensor', async () => {
    const copy = join(scratch, 'infinite.gguf')
    const blocks = await writeModel(copy, { output: 'Q8_0', others: ['Q4_1'] })
    const bytes = await readFile(copy)
    const at = bytes.indexOf(blocks.subarray(0, 64))
    bytes.writeUInt16LE(0x7c00, at + 34)
    await writeFile(copy, bytes)
    await expect(inMemory(copy)).rejects.toMatchObject({
      kind: 'checkpoint',
      message: /tensor output of layer 0 holds a scale that is not finite/,
    })
  })

  it('stops when it is told to', async () => {
    await expect(open(path(), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    const { memory, close } = await planOf(path())
    const stop = new AbortController()
    const packing = packInMemory(requireModule(), memory!, 1, { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(packing.then(() => 'was done before'))
      .resolves.toBe('was done before')
      .catch(async () => {
        await expect(packing).rejects.toThrow('enough')
      })
    await close()
  })
})

it('numbers that do not fit together are refused before memory is touched', async () => {
  const { packInMemory: pack } = requireModule()
  const progress = new Int32Array(new SharedArrayBuffer(8))
  const file = `${fixturesFolder}gguf/blocks.gguf`
  const header = new Uint8Array(64)
  const good = [64, 0, 16, 32, 2, 0, 0, 0]
  const attempt = (numbers: readonly number[], bytes = 64 + 320) =>
    (async () => await pack([file], header, Float64Array.from([1, bytes, ...numbers]), progress))()
  const changed = (i: number, x: number) => good.map((old, k) => (k === i ? x : old))
  await attempt(good)
  const wrong: [number[], RegExp][] = [
    [changed(0, 128), /goes past the end/],
    [changed(0, 0), /goes past the end/],
    [changed(0, 65), /goes past the end/],
    [changed(1, 1), /no vector of floats/],
    [changed(2, 0), /not made of whole blocks/],
    [changed(3, 48), /not made of whole blocks/],
    [changed(4, 10), /unknown type 10/],
    [changed(5, 1), /lies in file 1 of 1/],
    [changed(6, 1e12), /ends at byte/],
    [changed(7, 3), /not made of whole heads/],
    [changed(2, -1), /expected a whole number/],
    [good.slice(1), /elements/],
  ]
  for (const [numbers, message] of wrong) await expect(attempt(numbers)).rejects.toThrow(message)
})
