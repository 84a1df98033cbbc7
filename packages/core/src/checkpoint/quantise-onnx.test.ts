/** Quantised blocks judged by ONNX Runtime. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GraphBuilder } from '../graph/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { createRandom } from '../random.ts'
import { maxDifference } from '../testing/fixtures.ts'
import { dequantiseBlocks, quantiseBlocks } from './quantise.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-quantise-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe.each([
  { bits: 8, blockSize: 16 },
  { bits: 8, blockSize: 128 },
  { bits: 4, blockSize: 32 },
  { bits: 4, blockSize: 128 },
] as const)('$bits bits in blocks of $blockSize', (shape) => {
  it('mean to ONNX Runtime what they mean to us: a product with the identity gives the weights', async () => {
    const [N, K] = [48, 256]
    const random = createRandom(7)
    const values = Float32Array.from({ length: N * K }, () => random.normal())
    const quantised = quantiseBlocks(values, shape, 'w')
    const path = join(folder, `weights-${shape.bits}-${shape.blockSize}`)
    const scaleBytes = new Uint8Array(quantised.scales.buffer)
    writeFileSync(path, Buffer.concat([quantised.data, scaleBytes]))
    const blocks = K / shape.blockSize
    const g = new GraphBuilder('identity')
    const matrix = {
      ...shape,
      data: g.weight('data', 'uint8', [N, blocks, (shape.blockSize * shape.bits) / 8], {
        path,
        offset: 0,
        byteLength: quantised.data.byteLength,
      }),
      scales: g.weight('scales', 'float32', [N, blocks], {
        path,
        offset: quantised.data.byteLength,
        byteLength: scaleBytes.byteLength,
      }),
    }
    g.output(g.quantisedLinear(g.input('x', 'float32', [K, K]), matrix, { accuracyLevel: 1 }), 'transposed')
    const session = await onnxRuntime({ threads: 1 }).createSession(g.build())
    const identity = Float32Array.from({ length: K * K }, (_, i) => Number(i % (K + 1) === 0))
    const out = (await session.run({ x: new Tensor('float32', identity, [K, K]) })).transposed!.data as Float32Array
    await session.dispose()
    const expected = dequantiseBlocks(quantised, shape)
    const found = expected.map((_, i) => out[(i % K) * N + Math.floor(i / K)]!)
    // One product and sums with zeros: nothing is rounded that was not rounded before.
    expect(maxDifference(found, expected)).toBe(0)
  })
})
