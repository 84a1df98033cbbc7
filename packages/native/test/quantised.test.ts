/** Quantised weights: what ONNX Runtime makes of the same file. Both round the inputs of a product to 8 bits in the weights' blocks. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quantiseModel } from '@parscale/core/internal/node'
import { afterAll, describe, expect, it } from 'vitest'
import { fixturesFolder, loadEngine } from '../../core/src/testing/fixtures.ts'
import { writeRandomModel } from '../../core/src/testing/random-model.ts'
import { loadEngine as loadNative } from './support/load-engine.ts'
import { packFolder, Streams } from './support/streams.ts'

const temporary = mkdtempSync(join(tmpdir(), 'parscale-native-'))
afterAll(() => rmSync(temporary, { recursive: true }))

const ids = Array.from({ length: 40 }, (_, i) => (i * i * 5 + i) % 256)

const streamed = (input: readonly string[], aggregation: string) => ({
  ...{ model_type: 'qwen2', hidden_act: 'silu', vocab_size: 256, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-6, rope_theta: 10000, max_position_embeddings: 64 },
  ...{ tie_word_embeddings: true, parscale_n: 3, parscale_n_tokens: 4, parscale_attn_smooth: 0.1, parscale_version: 2 },
  ...{ parscale_input: input, parscale_aggregation: aggregation, ...(input.includes('lora') ? { parscale_lora_rank: 5 } : {}) },
})

describe.each([
  [['scales'], 'dynamic'],
  [['prefix', 'norms', 'bitfit'], 'average'],
  // Beside integers low ranks are bfloat16 here: of a contribution as large as the weights' own.
  [['scales', 'lora'], 'static'],
])('streams of %j, %s', (input, aggregation) => {
  it.each([8, 4] as const)('%s bits are what ONNX Runtime makes of the same file', async (bits) => {
    const [plain, folder] = [join(temporary, input.join()), join(temporary, `${input.join()}-${bits}`)]
    await writeRandomModel(plain, streamed(input, aggregation))
    await quantiseModel(plain, folder, { bits, blockSize: 16 })
    const logits = await Promise.all(
      [await loadEngine(folder), await loadNative(folder)].map(async (engine) => {
        const [out] = await engine.step([{ sequence: engine.open(), ids, want: 'all' }])
        await engine.dispose()
        return out!.logits
      }),
    )
    // Measured 2e-7 to 5.5e-3, as above; with lora 4.5e-3, most of it bfloat16.
    expect(relativeError(logits[1]!, logits[0]!)).toBeLessThan(0.01)
    rmSync(plain, { recursive: true })
  })
})

/** sqrt(sum (a - b)^2 / sum b^2) */
function relativeError(a: Float32Array, b: Float32Array): number {
  let [error, size] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    error += (a[i]! - b[i]!) ** 2
    size += b[i]! ** 2
  }
  return Math.sqrt(error / size)
}

describe.each(['goldens/parscale-p4', 'transformers/llama3-rope', 'transformers/qwen3-tied-bf16', 'transformers/phi3-window'])(
  '%s',
  (name) => {
    it.each([8, 4] as const)('%s bits are what ONNX Runtime makes of the same file', async (bits) => {
      const folder = join(temporary, `${name.replace('/', '-')}-${bits}`)
      await quantiseModel(`${fixturesFolder}${name}`, folder, { bits, blockSize: 16 })
      const onnx = await loadEngine(folder)
      const [expected] = await onnx.step([{ sequence: onnx.open(), ids, want: 'all' }])
      await onnx.dispose()
      const packed = await packFolder(folder)
      const engine = new Streams(packed)
      const [found] = await engine.step([{ sequence: engine.open(), ids }])
      await engine.model.dispose()
      packed.remove()
      // A number that lies between two integers is rounded up by one and down by the other, as ONNX Runtime's sums for this machine fall out: measured 3e-7 to
      // 1.2e-3, with AVX2 alone up to 5.1e-3.
      expect(relativeError(found!.logits, expected!.logits)).toBeLessThan(0.01)
    })
  },
)
