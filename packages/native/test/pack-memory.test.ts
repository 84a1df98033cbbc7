/** Weights that are packed in memory, straight from a GGUF file: the numbers of its blocks, and what the packed file of it would give. */
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { castBytes } from '@parscale/core/internal/checkpoint'
import { modelFiles } from '@parscale/core/internal/generation'
import { openModelFolder, quantiseModel } from '@parscale/core/internal/node'
import { openStreamed } from '@parscale/core/internal/node/models'
import { planBackbone } from '@parscale/core/internal/packed'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blockFormats, decodeBlocks } from '../../core/src/checkpoint/gguf/blocks.ts'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { nativeDecoder, nativeRefusal } from '../src/native-decoder.ts'
import { NativeModel } from '../src/native-model.ts'
import { requireModule } from '../src/native-module.ts'
import { isPackedInMemory, packInMemory } from '../src/pack.ts'
import { batch } from './support/batches.ts'
import { floatTypes, quantisedTypes, sizes, writeModel } from './support/gguf-models.ts'
import { packInJavaScript } from './support/pack-in-javascript.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-pack-memory-'))
})
afterAll(() => rm(scratch, { recursive: true }))

async function planOf(path: string) {
  const { backbone } = await openStreamed(path, 'stored')
  const files = await modelFiles(backbone)
  const plan = planBackbone(files.config, files.findWeight, files.tied)
  return { files, plan, close: backbone.close }
}

/** On so many threads. */
async function inMemory(path: string, threads = 2): Promise<NativeModel> {
  const { plan, close } = await planOf(path)
  const model = new NativeModel(await packInMemory(plan, threads))
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
  await packInJavaScript(packed, plan)
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

it('long prompts over matrices of several kinds give what their pieces give', async () => {
  const path = join(scratch, 'kinds.gguf')
  // q, k and v, and gate and up: floats beside what kernels of many rows take.
  await writeModel(path, { output: 'Q8_0', others: ['Q8_0', 'F32', 'Q4_0'] })
  const [length, model] = [600, await inMemory(path)]
  const [whole, piecewise] = model.openRows(2)
  const chunk = (row: number, from: number, count: number) => ({
    ...batch(model, [row], count),
    lengths: Int32Array.of(from),
    ids: Int32Array.from({ length: count }, (_, i) => ((from + i) * 7) % model.facts.vocabSize),
    wanted: new Uint8Array(count).fill(1),
  })
  const { hidden } = await model.run(chunk(whole!, 0, length))
  const pieces: number[] = []
  for (let from = 0; from < length; from += 100) pieces.push(...(await model.run(chunk(piecewise!, from, 100))).hidden)
  await model.dispose()
  expect(hidden.every(Number.isFinite)).toBe(true)
  expect(hidden).toEqual(Float32Array.from(pieces))
})

const ggufs = (await readdir(`${fixturesFolder}gguf`)).filter((name) => name.endsWith('.gguf') && name !== 'blocks.gguf')

it.each(ggufs)("PyPI's %s gives the bits of the packed file, where the step runs it", async (name) => {
  const path = `${fixturesFolder}gguf/${name}`
  const { files, plan, close } = await planOf(path).catch(() => ({ files: undefined, plan: undefined, close: () => {} }))
  await close()
  if (!files || nativeRefusal([files.config])) return
  expect(isPackedInMemory(plan)).toBe(true)
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
    const { plan, close } = await planOf(copy)
    await truncate(copy, (await readFile(copy)).length - 1000)
    await expect(packInMemory(plan, 2)).rejects.toMatchObject({
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
    const { plan, close } = await planOf(path())
    const stop = new AbortController()
    const packing = packInMemory(plan, 1, { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(packing.then(() => 'was done before'))
      .resolves.toBe('was done before')
      .catch(async () => {
        await expect(packing).rejects.toThrow('enough')
      })
    await close()
  })
})

describe('a folder of integers whose numbers nobody has looked at', () => {
  const sound = () => join(scratch, 'integers')
  beforeAll(async () => {
    await quantiseModel(`${fixturesFolder}transformers/qwen3-streams-p2`, sound(), { bits: 8, blockSize: 16 })
  })

  /** With one of its numbers another one. */
  async function open(path: string, name?: string, at = 0, value = Number.NaN, looks = { unread: true }): Promise<unknown> {
    await cp(sound(), path, { recursive: true })
    const folder = await openModelFolder(path)
    if (name !== undefined) {
      const { offset, dtype } = folder.tensors.get(name)!
      const number = castBytes(new Uint8Array(Float32Array.of(value).buffer), 'F32', dtype)
      const file = join(path, 'model.safetensors')
      const bytes = await readFile(file)
      bytes.set(number, offset + at * number.length)
      await writeFile(file, bytes)
    }
    await folder.close()
    const changed = await openModelFolder(path)
    try {
      const files = await modelFiles(changed, [], looks)
      return await (await nativeDecoder(files, { cacheDirectory: join(scratch, 'no-cache') })).dispose()
    } finally {
      await changed.close()
    }
  }

  it('is packed in memory', async () => {
    await open(join(scratch, 'as-it-is'))
    await expect(readdir(join(scratch, 'no-cache'))).rejects.toThrow('ENOENT')
  })

  it.each([
    [
      'model.layers.1.mlp.down_proj.weight_scales',
      37,
      Number.POSITIVE_INFINITY,
      /down_proj.weight_scales: 1 of its numbers are not finite/,
    ],
    ['model.embed_tokens.weight_scales', 0, Number.NaN, /embed_tokens.weight_scales: 1 of its numbers are not finite/],
    ['model.norm.weight', 3, Number.NaN, /tensor model.norm.weight holds NaN at element 3/],
    ['model.layers.0.self_attn.q_norm.weight', 1, Number.NEGATIVE_INFINITY, /q_norm.weight holds -Infinity at element 1/],
  ])('%s at %i as %d is refused with the words of who looks before', async (name, at, value, message) => {
    for (const unread of [false, true]) {
      const path = join(scratch, 'not-finite')
      const error = { kind: 'checkpoint', message: expect.stringMatching(message) }
      await expect(open(path, name, at, value, { unread })).rejects.toMatchObject(error)
      await rm(path, { recursive: true })
    }
  })
})

it('numbers that do not fit together are refused before memory is touched', async () => {
  const native = requireModule()
  const progress = new Int32Array(new SharedArrayBuffer(8))
  const file = `${fixturesFolder}gguf/blocks.gguf`
  const header = new Uint8Array(64)
  // Q4_0 as it is: [16, 32].
  const good = [64, 0, 16, 32, 3, 32, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]
  const attempt = (numbers: readonly number[], bytes = 64 + 320, target?: string) =>
    (async () => await native.pack([file], header, Float64Array.from([1, bytes, ...numbers]), progress, target))()
  const changed = (...changes: [number, number][]) => good.map((old, k) => new Map(changes).get(k) ?? old)
  await attempt(good)
  const wrong: [number[], RegExp][] = [
    [changed([0, 128]), /goes past the end/],
    [changed([0, 0]), /goes past the end/],
    [changed([0, 65]), /goes past the end/],
    [changed([1, 1]), /no vector of floats/],
    [changed([2, 0]), /not made of whole blocks/],
    [changed([3, 48]), /not made of whole blocks/],
    [changed([4, 4]), /expected a whole number/],
    [changed([4, 1], [5, 0]), /cannot become/],
    [changed([5, 0]), /cannot become/],
    [changed([5, 12]), /cannot become/],
    [changed([5, 64]), /cannot become/],
    [changed([6, 1]), /cannot become/],
    [changed([7, 10]), /unknown type 10/],
    [changed([7, 1004], [6, 1]), /cannot become/],
    [changed([7, 1004], [13, 1]), /cannot become/],
    [changed([7, 1008]), /cannot become/],
    [changed([7, 0], [6, 1]), /cannot become/],
    [changed([8, 1]), /lies in file 1 of 1/],
    [changed([11, 1]), /lies in file 1 of 1/],
    [changed([14, 1]), /lies in file 1 of 1/],
    [changed([9, 1e12]), /ends at byte/],
    [changed([7, 1004], [12, 1e12]), /ends at byte/],
    [changed([7, 1004], [6, 1], [13, 2], [15, 1e12]), /ends at byte/],
    [changed([10, 3]), /not made of whole heads/],
    [changed([13, 3]), /expected a whole number/],
    [changed([2, -1]), /expected a whole number/],
    [good.slice(1), /elements/],
  ]
  for (const [numbers, message] of wrong)
    await expect(attempt(numbers, numbers[6] ? 64 + 384 : undefined)).rejects.toThrow(message)
  await expect(attempt(good, undefined, `${file}.not-there/x`)).rejects.toThrow(/cannot be written/)
  await expect(attempt(good, undefined, 'a\0b')).rejects.toThrow(/no path/)
})
