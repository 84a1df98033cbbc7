/** Quantised files that are not what they say: each refused before anything is computed, by file and tensor. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { castBytes, type StoredDType, streamBytes, streamTensor, type TensorStream } from '../../checkpoint/index.ts'
import { modelFiles } from '../../generation/index.ts'
import { writeModelFolder } from '../disk/write-folder.ts'
import { companionFiles } from './companion-files.ts'
import { openModelFolder } from './model-folder.ts'
import { quantiseModel } from './quantised-folder.ts'

const byteModel = fileURLToPath(new URL('../../../../../fixtures/byte-p8', import.meta.url))
const weight = 'model.layers.0.mlp.up_proj.weight'

let scratch: string
let sound: string
let target: string
let made = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  sound = join(scratch, 'sound')
  await quantiseModel(byteModel, sound, { bits: 4, blockSize: 16 })
})
beforeEach(() => {
  target = join(scratch, `damaged-${made++}`)
})
afterAll(() => rm(scratch, { recursive: true }))

const load = async (path: string) => {
  const model = await openModelFolder(path)
  try {
    return await modelFiles(model)
  } finally {
    await model.close()
  }
}

/** Zeros of another type or shape, the first number one that is given; undefined: the tensor is left out. */
type Change =
  | { readonly dtype?: TensorStream['dtype']; readonly shape?: (shape: readonly number[]) => number[]; readonly first?: number }
  | undefined

async function withTensor(name: string, change: Change, source = sound): Promise<void> {
  const model = await openModelFolder(source)
  try {
    const streams = new Map([...model.tensors, ...model.otherTensors].map(([name, tensor]) => [name, streamTensor(tensor)]))
    const { dtype, shape } = streams.get(name) ?? streams.get(`${weight}_scales`)!
    if (!change) streams.delete(name)
    else {
      const changed = { name, dtype: change.dtype ?? dtype, shape: change.shape?.(shape) ?? shape }
      const zeros = new Uint8Array(streamBytes(changed))
      if (change.first !== undefined)
        zeros.set(castBytes(new Uint8Array(Float32Array.of(change.first).buffer), 'F32', changed.dtype as StoredDType))
      streams.set(name, {
        ...changed,
        async *chunks() {
          yield zeros
        },
      })
    }
    await writeModelFolder(target, { files: await companionFiles(source), tensors: [...streams.values()] })
  } finally {
    await model.close()
  }
}

it('the model itself is sound', async () => {
  await expect(load(sound)).resolves.toBeDefined()
})

describe('a tensor that is wrong', () => {
  it.each<[string, string, Change, RegExp]>([
    ['scales that are missing', '_scales', undefined, /should be F32 .*missing/],
    ['scales of another type', '_scales', { dtype: 'F16' }, /should be F32 .*got F16/],
    ['scales of another shape', '_scales', { shape: ([N, blocks]) => [blocks!, N!] }, /should be F32 .*got F32/],
    ['data without blocks', '', { shape: ([N, blocks, bytes]) => [N!, blocks! * bytes!] }, /in blocks of a power of two/],
    ['data for fewer rows', '', { shape: ([N, ...rest]) => [N! - 1, ...rest] }, /in blocks of a power of two/],
    ['blocks that are too small', '', { shape: ([N, blocks, bytes]) => [N!, blocks! * 2, bytes! / 2] }, /from 16 on/],
    ['data of 2 bits', '', { shape: ([N, blocks, bytes]) => [N!, blocks!, bytes! / 2] }, /4 or 8 bits each/],
    ['data of another type', '', { dtype: 'I16' }, /is stored as I16/],
    ['empty data', '', { shape: ([N]) => [N!, 0, 0] }, /in blocks of a power of two/],
    ['zero points of another shape', '_zero_points', { shape: ([N, blocks]) => [N!, blocks! + 1] }, /should be F32 .* or U8/],
    ['zero points of another type', '_zero_points', { dtype: 'I32' }, /should be F32 .* or U8/],
  ])('%s', async (_, suffix, change, message) => {
    await withTensor(`${weight}${suffix}`, change)
    await expect(load(target)).rejects.toMatchObject({
      name: 'ParscaleError',
      message: expect.stringMatching(message),
      facts: { file: expect.stringContaining(target), tensor: `${weight}${suffix}` },
    })
  })

  it.each(['_scales', '_zero_points'])('%s that are not finite', async (suffix) => {
    await withTensor(`${weight}${suffix}`, { dtype: 'F32' })
    const file = join(target, 'model.safetensors')
    const bytes = await readFile(file)
    const model = await openModelFolder(target)
    const { offset } = model.tensors.get(`${weight}${suffix}`)!
    await model.close()
    bytes.writeFloatLE(Number.NaN, offset + 4)
    await writeFile(file, bytes)
    await expect(load(target)).rejects.toMatchObject({
      message: `${file}: tensor ${weight}${suffix}: 1 of its numbers are not finite; quantise the model anew: parscale quantize`,
    })
  })

  it('zero points that fit are taken', async () => {
    await withTensor(`${weight}_zero_points`, { dtype: 'F32' })
    await expect(load(target)).resolves.toBeDefined()
  })
})

describe('a config.json that is wrong', () => {
  it.each<[Record<string, unknown>, string, RegExp]>([
    [{ format_version: 1 }, 'unsupported', /quantised in format 1, this version reads format 2/],
    [{ format_version: undefined }, 'unsupported', /quantised in format undefined/],
    [{ bits: 3 }, 'checkpoint', /quantization_config.bits/],
    [{ block_size: 1 }, 'checkpoint', /quantization_config.block_size/],
    [{ quant_method: 'gptq' }, 'unsupported', /quantised \(quantization_config, gptq\)/],
  ])('%j', async (change, kind, message) => {
    await withTensor(weight, {})
    const file = join(target, 'config.json')
    const config = JSON.parse(await readFile(file, 'utf8'))
    await writeFile(file, JSON.stringify({ ...config, quantization_config: { ...config.quantization_config, ...change } }))
    await expect(load(target)).rejects.toMatchObject({ kind, message: expect.stringMatching(message) })
  })

  it('that does not say that the weights are quantised', async () => {
    await withTensor(weight, {})
    const file = join(target, 'config.json')
    const { quantization_config: _, ...config } = JSON.parse(await readFile(file, 'utf8'))
    await writeFile(file, JSON.stringify(config))
    await expect(load(target)).rejects.toThrow(/is stored as U8; weights can be F32, F16 or BF16/)
  })
})

// ONNX Runtime rounds the inputs of these products to integers: what is NaN before them is a number behind.
describe.each(['quantised', 'float'])('numbers of a %s model that are not finite', (kind) => {
  it.each(['model.norm.weight', 'model.layers.1.post_attention_layernorm.weight', 'model.layers.0.self_attn.q_proj.bias'])(
    '%s',
    async (name) => {
      for (const first of [Number.NaN, Number.NEGATIVE_INFINITY]) {
        await rm(target, { recursive: true, force: true })
        await withTensor(name, { first }, kind === 'float' ? byteModel : sound)
        await expect(load(target)).rejects.toMatchObject({
          kind: 'checkpoint',
          message: expect.stringMatching(`tensor ${name} holds ${first} at element 0.*damaged`),
        })
      }
    },
  )

  it('and the largest ones are taken', async () => {
    await withTensor('model.norm.weight', { first: 3.38e38 }, kind === 'float' ? byteModel : sound)
    await expect(load(target)).resolves.toBeDefined()
  })
})
