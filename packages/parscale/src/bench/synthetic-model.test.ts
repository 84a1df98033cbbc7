import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dequantiseBlocks, findQuantised, readChunks, readF32 } from '@parscale/core/internal/checkpoint'
import { qwenShape } from '@parscale/core/internal/cost'
import { Engine, Model, modelFiles } from '@parscale/core/internal/generation'
import { type ModelFolder, openModelFolder, verifySameBackbone } from '@parscale/core/internal/node'
import { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { syntheticBytes, writeSyntheticModel } from './synthetic-model.ts'

const shape = {
  ...qwenShape(128, 192),
  vocabSize: 300,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  headDim: 32,
  prefixTokens: 6,
}

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'parscale-synthetic-')), 'model')
})
afterEach(() => rm(join(folder, '..'), { recursive: true }))

async function bytesOf(model: ModelFolder, name: string): Promise<Uint8Array> {
  const tensor = model.tensors.get(name) ?? model.otherTensors.get(name)!
  const chunks: Uint8Array[] = []
  for await (const chunk of readChunks(tensor)) chunks.push(chunk.slice())
  return Buffer.concat(chunks)
}

describe.each([32, 8, 4] as const)('in %i bits', (bits) => {
  test('runs with every P, takes the bytes that it was said to, and no two layers are alike', async () => {
    const model = { shape, bits, streams: [1, 2, 4] }
    await writeSyntheticModel(folder, model, {})
    const open = [
      await openModelFolder(folder),
      ...(await Promise.all([2, 4].map((p) => openModelFolder(join(folder, `streams/p${p}`))))),
    ]
    await verifySameBackbone(open[0]!, open.slice(1))
    const stored = open.flatMap(({ tensors, otherTensors }) => [...tensors.values(), ...otherTensors.values()])
    expect(stored.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(syntheticBytes(model))
    const [first, second] = [0, 1].map((layer) => bytesOf(open[0]!, `model.layers.${layer}.mlp.up_proj.weight`))
    expect(await first).not.toEqual(await second)

    const aggregator = findQuantised(open[2]!, 'model.aggregate_layer.0.weight', [128, 512])
    expect(aggregator?.bits).toBe(bits === 32 ? undefined : 8)

    const loaded = await Model.load(onnxRuntime({ threads: 1 }), await modelFiles(open[0]!, open.slice(1)))
    expect(loaded.availableP).toEqual([1, 2, 4])
    const engine = new Engine(loaded)
    for (const p of loaded.availableP) {
      const { logits } = await engine.prefill(engine.open({ p }), [1, 2, 3])
      expect(logits.every(Number.isFinite)).toBe(true)
      expect(new Set(logits).size).toBeGreaterThan(100)
    }
    await loaded.dispose()
    await Promise.all(open.map((one) => one.close()))
  })
})

test.each([
  [8, 128],
  [4, 32],
] as const)('%i bits: blocks of %i as --bits makes them, weights of the deviation that models begin with', async (bits, size) => {
  await writeSyntheticModel(folder, { shape, bits, streams: [] }, {})
  const model = await openModelFolder(folder)
  const name = 'model.layers.0.self_attn.q_proj.weight'
  const { blockSize, scales } = findQuantised(model, name, [128, 128])!
  expect(blockSize).toBe(size)
  const weights = dequantiseBlocks({ data: await bytesOf(model, name), scales: await readF32(scales) }, { bits, blockSize })
  await model.close()
  const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length
  const deviation = Math.sqrt(weights.reduce((sum, weight) => sum + (weight - mean) ** 2, 0) / weights.length)
  expect(deviation).toBeGreaterThan(0.018)
  expect(deviation).toBeLessThan(0.024)
})
