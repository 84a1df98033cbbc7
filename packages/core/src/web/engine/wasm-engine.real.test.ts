/** onnxruntime-web's WASM build in Node: all that an engine must keep, with keys and values in the module's own memory. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Engine, Model, type ModelFiles, modelFiles } from '../../generation/index.ts'
import { engineContract } from '../../generation/testing/engine-contract.ts'
import { isQuantised, type QuantisedWeight, storedRows } from '../../model/index.ts'
import { openModelFolder } from '../../node/index.ts'
import { engineLoader, fixturesFolder, maxDifference } from '../../testing/fixtures.ts'
import { quantiseModel } from '../../testing/quantise.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import { startBuild } from './builds.ts'
import { webRuntime } from './onnx-runtime.ts'
import { filesInFull, readPlace } from './widened.ts'

const files = new Map<string, Blob>()
function blob(path: string): Blob {
  if (!files.has(path)) files.set(path, new Blob([readFileSync(path)]))
  return files.get(path)!
}

const load = engineLoader<{ readonly threads?: number; readonly kv?: 'f32' | 'f16' | 'int8' }>(async (files, { kv }) =>
  // There is one module in a thread, with the threads of the first call.
  Model.load(await webRuntime({ backend: 'wasm', threads: 1, blob }), files, { kv }),
)

// Float32 sums over some dozens of terms, in another order; logits of these models are of size 1 to 10.
engineContract('graphs on WASM', { load, tolerance: 1e-4 })

describe('keys and values', () => {
  it('lie in the memory of the module, which is as large as before when all sequences are closed', async () => {
    const { memory } = await startBuild('wasm', { threads: 1 })
    expect(memory).toBeDefined()
    const engine = await load(`${fixturesFolder}goldens/parscale-p4`)
    const run = async () => {
      const sequence = engine.open({ p: 4, room: 500 })
      await engine.step([{ sequence, ids: Array.from({ length: 400 }, (_, i) => i % 250), want: 'last' }])
      engine.close(sequence)
    }
    await run()
    const size = () => {
      const bytes = memory!.allocate(4)!
      memory!.free(bytes)
      return bytes.buffer.byteLength
    }
    const before = size()
    for (let i = 0; i < 30; i++) await run()
    expect(engine.cacheMemoryBytes).toBe(0)
    expect(size()).toBe(before)
    // Its own, which is one more cache.
    const other = new Engine(engine.model)
    other.open({ p: 4, room: 500 })
    await engine.dispose()
  })
})

const config = {
  ...{ model_type: 'qwen2_parscale', hidden_act: 'silu', parscale_n: 2, parscale_n_tokens: 3, parscale_attn_smooth: 0.05 },
  ...{ vocab_size: 90, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, max_position_embeddings: 128, rms_norm_eps: 1e-6, rope_theta: 10000 },
}

describe.each([
  { tied: true, bits: 8, zeroPoints: 'none' },
  { tied: false, bits: 8, zeroPoints: 'float32' },
  { tied: true, bits: 4, zeroPoints: 'float32' },
  { tied: false, bits: 4, zeroPoints: 'none' },
] as const)('a model in $bits bits, zero points $zeroPoints, tied $tied', ({ tied, bits, zeroPoints }) => {
  async function models(use: (quantised: ModelFiles, rounded: ModelFiles) => Promise<void>) {
    const folder = mkdtempSync(join(tmpdir(), 'parscale-in-full-'))
    try {
      await writeRandomModel(folder, { ...config, tie_word_embeddings: tied })
      const open = await openModelFolder(folder)
      const { quantised, rounded } = await quantiseModel(open, await modelFiles(open), folder, {
        bits,
        blockSize: 32,
        zeroPoints,
      })
      await open.close()
      await use(quantised, rounded)
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  it('multiplies in float32 with what its integers stand for', () =>
    models(async (quantised, rounded) => {
      const logits = async (files: ModelFiles) => {
        const engine = new Engine(await Model.load(await webRuntime({ backend: 'wasm', threads: 1, blob }), files))
        const sequence = engine.open({ p: 2 })
        const ids = Array.from({ length: 12 }, (_, i) => (i * 37) % 90)
        await engine.step([{ sequence, ids: ids.slice(0, 5), want: 'none' }])
        const [out] = await engine.step([{ sequence, ids: ids.slice(5), want: 'all' }])
        const result = out!.logits.slice()
        await engine.dispose()
        return result
      }
      const [found, expected] = [await logits(filesInFull(quantised)), await logits(rounded)]
      // Products whose inputs are rounded to integers, which quantised ones are, would be some percent away.
      expect(maxDifference(found, expected)).toBeLessThan(1e-4 * Math.max(...expected.map(Math.abs)))
    }))

  it('reads any rows of a matrix', () =>
    models(async (quantised) => {
      const [name, shape] = ['model.layers.0.mlp.down_proj.weight', [64, 96]] as const
      const whole = filesInFull(quantised).findWeight(name, shape)
      expect(isQuantised(whole)).toBe(true)
      const floats = async (weight: QuantisedWeight) => new Float32Array((await readPlace(weight.inFull!, blob)).buffer)
      const all = await floats(whole as QuantisedWeight)
      const part = await floats(storedRows(whole, 64, 10, 7) as QuantisedWeight)
      expect(part).toEqual(all.subarray(960, 960 + 7 * 96))
    }))
})
