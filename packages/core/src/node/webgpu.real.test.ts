/**
 * The reference's numbers on WebGPU in Node. Where there is no GPU, the software Vulkan driver of Debian's chromium serves.
 * Tolerance 1e-3: the shaders' exp, and sums in another order than on CPU.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { argmax, fixturesFolder, loadEngine, maxDifference, readFixture } from '../testing/fixtures.ts'

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json'
if (process.env.VK_ICD_FILENAMES === undefined && existsSync(swiftShader)) process.env.VK_ICD_FILENAMES = swiftShader
process.env.XDG_RUNTIME_DIR ??= mkdtempSync(join(tmpdir(), 'parscale-xdg-'))

const tolerance = 1e-3

describe.each([
  'goldens/parscale-p8-bf16',
  'goldens/parscale-p4',
  'transformers/qwen3-streams-p2',
  'transformers/mistral-window',
])('WebGPU: %s', (name) => {
  it('gives the logits of the whole prompt and the greedy tokens', async () => {
    const fixture = await readFixture(name)
    const engine = await loadEngine(fixturesFolder + name, { device: 'webgpu' })
    const { input_ids, generated_ids } = fixture.expected
    const sequence = engine.open()
    const [all] = await engine.step([{ sequence, ids: input_ids, want: 'all' }])
    const difference = maxDifference(all!.logits, fixture.arrays.get('logits')!.data)
    const ids: number[] = []
    let logits = all!.logits.slice(-engine.model.config.vocabSize)
    while (ids.push(argmax(logits)) < generated_ids.length) {
      const [next] = await engine.step([{ sequence, ids: [ids.at(-1)!], want: 'last' }])
      logits = next!.logits.slice()
    }
    await engine.model.dispose()
    expect(difference).toBeLessThan(tolerance)
    expect(ids).toEqual(generated_ids)
  })
})
