/** Quantised folders: what is written, that it says what the source says, and that damaged ones are refused before use. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  dequantiseBlocks,
  findQuantised,
  parseSafetensors,
  type QuantisedTensor,
  readChunks,
  readF32,
  type StoredTensor,
} from '../../checkpoint/index.ts'
import { modelFiles } from '../../generation/index.ts'
import { isQuantised } from '../../model/index.ts'
import { openFileSource } from '../disk/file-source.ts'
import { verifySameBackbone } from './backbone-digest.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'
import { planQuantisation, quantiseModel } from './quantised-folder.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../../../../fixtures/${name}`, import.meta.url))
const shipped = fileURLToPath(new URL('../../../../parscale/models/small', import.meta.url))

let scratch: string
let made: { shipped8: string; shipped4: string; parscale4: string }
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  made = { shipped8: join(scratch, 'shipped8'), shipped4: join(scratch, 'shipped4'), parscale4: join(scratch, 'parscale4') }
  await quantiseModel(shipped, made.shipped8, { bits: 8 })
  await quantiseModel(shipped, made.shipped4, { bits: 4 })
  await quantiseModel(fixture('byte-p8'), made.parscale4, { bits: 4 })
})
afterAll(() => rm(scratch, { recursive: true }))

async function opened<T>(path: string, use: (model: ModelFolder) => T | Promise<T>): Promise<T> {
  const model = await openModelFolder(path)
  try {
    return await use(model)
  } finally {
    await model.close()
  }
}

async function dequantised(matrix: QuantisedTensor): Promise<Float32Array> {
  const pieces: Uint8Array[] = []
  for await (const bytes of readChunks(matrix.data)) pieces.push(bytes)
  const zeroPoints = matrix.zeroPoints && (await readF32(matrix.zeroPoints as StoredTensor))
  return dequantiseBlocks(
    { data: new Uint8Array(Buffer.concat(pieces)), scales: await readF32(matrix.scales), zeroPoints },
    matrix,
  )
}

describe('a model that was quantised', () => {
  it.each([
    { bits: 8, blockSize: 64, limit: 0.007 },
    { bits: 4, blockSize: 32, limit: 0.09 },
  ] as const)(
    'has its matrices in $bits bits in blocks of $blockSize, near what they were',
    async ({ bits, blockSize, limit }) => {
      const shape = [64, 192]
      const name = 'model.layers.1.mlp.down_proj.weight'
      const before = await opened(shipped, (model) => readF32(model.tensors.get(name)!))
      const after = await opened(bits === 8 ? made.shipped8 : made.shipped4, async (model) => {
        const matrix = findQuantised(model, name, shape)!
        expect(matrix).toMatchObject({ bits, blockSize })
        return await dequantised(matrix)
      })
      const square = (values: Float32Array) => values.reduce((sum, x) => sum + x * x, 0)
      const lost = Math.sqrt(square(before.map((x, i) => x - after[i]!)) / square(before))
      expect(lost).toBeLessThan(limit)
      expect(lost).toBeGreaterThan(limit / 3)
    },
  )

  it('keeps norms and biases, its tokenizer, and its stream sets as they are', async () => {
    const names = ['model.norm.weight', 'model.layers.0.self_attn.q_proj.bias']
    const read = (path: string) =>
      opened(path, (model) => Promise.all(names.map(async (name) => [...(await readF32(model.tensors.get(name)!))])))
    expect(await read(made.shipped8)).toEqual(await read(shipped))
    for (const file of ['tokenizer.json', 'generation_config.json']) {
      expect(await readFile(join(made.shipped8, file))).toEqual(await readFile(join(shipped, file)))
    }
    expect(await readdir(join(made.shipped8, 'streams'))).toEqual(['p2', 'p4', 'p8'])
    const own = (path: string) => opened(path, (set) => readF32(set.tensors.get('model.layers.2.self_attn.q_proj.lora_A')!))
    expect(await own(join(made.shipped8, 'streams', 'p4'))).toEqual(await own(join(shipped, 'streams', 'p4')))
  })

  it.each(['shipped8', 'shipped4'] as const)('%s has the matrices of its aggregators in 8 bits', async (which) => {
    for (const p of [2, 4, 8])
      for (const [name, shape] of [
        ['model.aggregate_layer.0.weight', [64, p * 64]],
        ['model.aggregate_layer.2.weight', [p, 64]],
      ] as const) {
        const before = await opened(join(shipped, 'streams', `p${p}`), (set) => readF32(set.tensors.get(name)!))
        const after = await opened(join(made[which], 'streams', `p${p}`), async (set) => {
          const matrix = findQuantised(set, name, shape)!
          expect(matrix.bits).toBe(8)
          return await dequantised(matrix)
        })
        const largest = (values: Float32Array) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
        expect(largest(before.map((x, i) => x - after[i]!))).toBeLessThanOrEqual(largest(before) / 253)
      }
  })

  it('lays side by side what is multiplied with the same input, each part by itself', async () => {
    const source = await openFileSource(join(made.shipped4, 'model.safetensors'))
    const { tensors } = await parseSafetensors(source)
    await source.close()
    const names = tensors.map(({ name }) => name)
    const attention = (suffix: string) => ['q', 'k', 'v'].map((x) => `model.layers.1.self_attn.${x}_proj.weight${suffix}`)
    const from = names.indexOf(attention('')[0]!)
    expect(names.slice(from, from + 6)).toEqual([...attention(''), ...attention('_scales')])
    const gate = names.indexOf('model.layers.1.mlp.gate_proj.weight')
    expect(names[gate + 1]).toBe('model.layers.1.mlp.up_proj.weight')
    for (const { offset, dtype } of tensors) if (dtype === 'F32') expect(offset % 4).toBe(0)
  })

  it('takes stream sets that were trained on the floats, and refuses others', async () => {
    await opened(made.shipped4, (backbone) =>
      opened(join(shipped, 'streams', 'p2'), async (set) => {
        await verifySameBackbone(backbone, [set])
        const { findWeight } = await modelFiles(backbone, [set])
        const weight = findWeight('model.embed_tokens.weight', [1024, 64])
        // 8 bits: rows of tokens, and the logits that are made of them, suffer most.
        expect(isQuantised(weight) && weight).toMatchObject({ bits: 8, blockSize: 32 })
      }),
    )
    await opened(made.parscale4, (backbone) =>
      opened(join(shipped, 'streams', 'p2'), (set) =>
        expect(verifySameBackbone(backbone, [set])).rejects.toThrow(/was trained on another backbone/),
      ),
    )
  })

  it('tells of both readings of its source, to the end', async () => {
    const done: number[] = []
    let total = 0
    const onProgress = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) => {
      done.push(doneBytes)
      total = totalBytes
    }
    const { bytesBefore, bytesAfter } = await quantiseModel(shipped, join(scratch, 'told'), { bits: 8, onProgress })
    expect(done).toEqual(done.toSorted((a, b) => a - b))
    expect(done[0]).toBeLessThanOrEqual(bytesBefore)
    expect(done).toContain(bytesBefore) // the digest is taken
    expect(done.at(-1)).toBe(total)
    expect(total).toBeGreaterThan(bytesBefore + bytesAfter) // with its stream sets
  })

  it('is not quantised again, nor made into floats', async () => {
    await expect(quantiseModel(made.shipped8, join(scratch, 'again'), { bits: 4 })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('is quantised already, to 8 bits'),
    })
    expect(await readdir(scratch)).not.toContain('again')
  })

  it('is as large as it was said to be', async () => {
    const { summary } = await planQuantisation(shipped, { bits: 4 })
    const source = await openFileSource(join(made.shipped4, 'model.safetensors'))
    const { tensors } = await parseSafetensors(source)
    await source.close()
    expect(tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(summary.bytesAfter)
    const [embedding, layers, ...others] = summary.matrices
    expect(others).toEqual([])
    expect(embedding).toMatchObject({ from: 'BF16', bits: 8, blockSize: 32, zeroPoints: false, tensors: 1 })
    expect(layers).toMatchObject({ from: 'BF16', bits: 4, blockSize: 32, zeroPoints: false, tensors: 21 })
    // A scale for 32 weights is one bit a weight.
    expect(embedding!.bytes).toBe((embedding!.parameters * (8 + 1)) / 8)
    expect(layers!.bytes).toBe((layers!.parameters * (4 + 1)) / 8)
    expect(embedding!.bytes + layers!.bytes + summary.other.bytes).toBe(summary.bytesAfter)
    expect(summary.bytesBefore).toBe(2 * (embedding!.parameters + layers!.parameters) + summary.other.bytes)
  })
})

describe('a GGUF file', () => {
  it('of floats is quantised as the folder that it becomes', async () => {
    const file = fixture('gguf/qwen2-p1.gguf')
    await quantiseModel(file, join(scratch, 'gguf8'), { bits: 8 })
    const weights = await opened(join(scratch, 'gguf8'), (model) => modelFiles(model))
    expect(isQuantised(weights.findWeight('model.layers.0.mlp.up_proj.weight', upShape(weights.config)))).toBe(true)
  })
})

const upShape = (config: { intermediateSize: number; hiddenSize: number }) => [config.intermediateSize, config.hiddenSize]

describe('numbers that are not finite', () => {
  it('are refused by name, and nothing is left', async () => {
    const damaged = join(scratch, 'nan')
    await cp(shipped, damaged, { recursive: true })
    const source = await openFileSource(join(damaged, 'model.safetensors'))
    const tensor = (await parseSafetensors(source)).tensors.find(({ name }) => name === 'model.layers.2.mlp.up_proj.weight')!
    await source.close()
    const bytes = await readFile(join(damaged, 'model.safetensors'))
    bytes.writeUInt16LE(0x7fc0, tensor.offset + 2 * 77) // NaN in bfloat16
    await writeFile(join(damaged, 'model.safetensors'), bytes)
    await rm(join(damaged, 'streams'), { recursive: true })
    await expect(quantiseModel(damaged, join(scratch, 'nan8'), { bits: 8 })).rejects.toMatchObject({
      kind: 'checkpoint',
      message: expect.stringContaining('tensor model.layers.2.mlp.up_proj.weight holds NaN at element 77'),
    })
    expect((await readdir(scratch)).filter((name) => name.includes('nan8'))).toEqual([])
  })
})
