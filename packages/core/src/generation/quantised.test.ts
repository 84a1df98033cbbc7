/** Products and look-ups with quantised weights against the same graphs on the rounded weights in float32. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GraphBuilder } from '../graph/index.ts'
import { openModelFolder } from '../node/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { createRandom } from '../random.ts'
import { maxDifference } from '../testing/fixtures.ts'
import { type QuantiseOptions, quantiseMatrix, quantiseModel } from '../testing/quantise.ts'
import { writeRandomModel } from '../testing/random-model.ts'
import { Engine, Model, modelFiles } from './index.ts'

const runtime = onnxRuntime({ threads: 2 })
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-quantised-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const normal = (count: number, seed: number) => {
  const random = createRandom(seed)
  return Float32Array.from({ length: count }, () => random.normal())
}

const layouts: QuantiseOptions[] = ([4, 8] as const).flatMap((bits) =>
  (['none', 'uint8'] as const).flatMap((zeroPoints) => [16, 32, 128].map((blockSize) => ({ bits, zeroPoints, blockSize }))),
)

describe.each(layouts)('$bits bits, blocks of $blockSize, zero points $zeroPoints', (layout) => {
  const [N, K] = [24, 384]
  const values = normal(N * K, 1)
  const { data, scales, zeroPoints, rounded } = quantiseMatrix(values, K, layout)

  function matrix(g: GraphBuilder, dataShape: number[]) {
    const path = join(folder, `matrix-${layout.bits}-${layout.blockSize}-${layout.zeroPoints}.bin`)
    const parts = [data, scales, ...(zeroPoints ? [zeroPoints] : [])].map((x) =>
      Buffer.from(x.buffer, x.byteOffset, x.byteLength),
    )
    writeFileSync(path, Buffer.concat(parts))
    const offsets = [0, data.byteLength, data.byteLength + scales.byteLength]
    const at = (i: number) => ({ path, offset: offsets[i]!, byteLength: parts[i]!.length })
    const blocks = K / layout.blockSize
    return {
      ...layout,
      data: g.weight('data', 'uint8', dataShape, at(0)),
      scales: g.weight('scales', 'float32', [N, blocks], at(1)),
      zeroPoints: zeroPoints && g.weight('zeros', 'uint8', [N, Math.ceil((blocks * layout.bits) / 8)], at(2)),
    }
  }

  it.each([1, 8, 40])('multiplies %i rows as float32 does', async (M) => {
    const x = normal(M * K, 2)
    const bias = normal(N, 3)
    const g = new GraphBuilder('products')
    const input = g.input('x', 'float32', [M, K])
    const weight = matrix(g, [N, K / layout.blockSize, (layout.blockSize * layout.bits) / 8])
    g.output(g.quantisedLinear(input, weight, { bias: g.constant(bias), accuracyLevel: 1 }), 'exact')
    g.output(g.quantisedLinear(input, weight, { bias: g.constant(bias), accuracyLevel: 4 }), 'int8')
    const session = await runtime.createSession(g.build())
    const out = await session.run({ x: new Tensor('float32', x, [M, K]) })
    await session.dispose()
    const expected = Float32Array.from({ length: M * N }, (_, i) => {
      const [row, column] = [Math.floor(i / N), i % N]
      let sum = bias[column]!
      for (let k = 0; k < K; k++) sum += x[row * K + k]! * rounded[column * K + k]!
      return sum
    })
    // Sums of 384 products of size 1: float32 rounds to about 384^1/2 * 1e-7 * 20.
    expect(maxDifference(out.exact!.data as Float32Array, expected)).toBeLessThan(1e-4)
    // x in int8 by blocks: each element is off by up to max|x| / 254, about 3.5 / 254 = 0.014, with a deviation of 0.008; over
    // 384 products with weights of size 1 that makes 0.16, and the largest of 960 is about 3.5 times that.
    expect(maxDifference(out.int8!.data as Float32Array, expected)).toBeLessThan(0.6)
  })

  it('looks rows up exactly', async () => {
    const ids = [3, 0, 23, 3]
    const g = new GraphBuilder('rows')
    g.output(g.quantisedGather(matrix(g, [N, (K * layout.bits) / 8]), g.input('ids', 'int64', [2, 2])), 'rows')
    const session = await runtime.createSession(g.build())
    const out = await session.run({ ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [2, 2]) })
    await session.dispose()
    const expected = Float32Array.from(ids.flatMap((id) => [...rounded.subarray(id * K, (id + 1) * K)]))
    expect(maxDifference(out.rows!.data as Float32Array, expected)).toBeLessThan(1e-6)
  })
})

const rms = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length)
const subtract = (a: Float32Array, b: Float32Array): Float32Array => a.map((x, i) => x - b[i]!)

/** A model with everything that a quantised weight may meet: biases, q/k norms, grouped heads, an output matrix of its own or none. */
const config = (tied: boolean) => ({
  model_type: 'qwen2_parscale',
  hidden_act: 'silu',
  parscale_n: 2,
  parscale_n_tokens: 3,
  parscale_attn_smooth: 0.05,
  vocab_size: 90,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: tied,
})

describe.each([
  { tied: true, bits: 8, zeroPoints: 'none' },
  { tied: false, bits: 8, zeroPoints: 'float32' },
  { tied: true, bits: 4, zeroPoints: 'float32' },
  { tied: false, bits: 4, zeroPoints: 'uint8' },
] as const)('a model in $bits bits, zero points $zeroPoints, tied $tied', ({ tied, bits, zeroPoints }) => {
  let engines: { quantised: Engine; rounded: Engine }
  beforeAll(async () => {
    const path = join(folder, `model-${bits}-${zeroPoints}`)
    await writeRandomModel(path, config(tied))
    const open = await openModelFolder(path)
    const { quantised, rounded } = await quantiseModel(open, await modelFiles(open), path, { bits, blockSize: 32, zeroPoints })
    await open.close()
    const engine = async (files: typeof quantised) => new Engine(await Model.load(runtime, files))
    engines = { quantised: await engine(quantised), rounded: await engine(rounded) }
  })
  afterAll(() => Promise.all(Object.values(engines).map((engine) => engine.dispose())))

  it.each([1, 2])('computes at P = %i what the rounded weights give', async (p) => {
    const run = async (engine: Engine) => {
      const sequence = engine.open({ p })
      const ids = Array.from({ length: 12 }, (_, i) => (i * 37) % 90)
      await engine.step([{ sequence, ids: ids.slice(0, 5), want: 'none' }])
      const [out] = await engine.step([{ sequence, ids: ids.slice(5), want: 'all' }])
      engine.close(sequence)
      return out!
    }
    const [quantised, rounded] = [await run(engines.quantised), await run(engines.rounded)]
    // Rounding x to int8 moves each product by about 0.5 %; random weights pass it on through 15 products. A zero point or scale
    // that is wrong anywhere moves the logits by more than 30 %.
    const error = (which: 'logits' | 'hidden') => rms(subtract(quantised[which], rounded[which])) / rms(rounded[which])
    expect(error('hidden')).toBeLessThan(0.05)
    expect(error('logits')).toBeLessThan(0.05)
  })
})
