/** Quantised weights: what ONNX Runtime makes of the same file. Both round the inputs of a product to 8 bits in the weights' blocks. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quantiseModel } from '@parscale/core/internal/node'
import { afterAll, describe, expect, it } from 'vitest'
import { fixturesFolder, loadEngine } from '../../core/src/testing/fixtures.ts'
import { packFolder, Streams } from './support/streams.ts'

const temporary = mkdtempSync(join(tmpdir(), 'parscale-native-'))
afterAll(() => rmSync(temporary, { recursive: true }))

const ids = Array.from({ length: 40 }, (_, i) => (i * i * 5 + i) % 256)

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
      // A number that lies between two integers is rounded up by one and down by the other: measured 3e-7 to 1.2e-3.
      expect(relativeError(found!.logits, expected!.logits)).toBeLessThan(0.005)
    })
  },
)
