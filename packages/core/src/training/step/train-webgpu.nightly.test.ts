/**
 * Training on WebGPU in Node beside the CPU: the same steps, with parameters and moments on the device between them. Where
 * there is no GPU, the software Vulkan driver of Debian's chromium serves.
 *
 * Tolerances: the loss to 1e-4 (the shaders' exp; sums in another order). AdamW's first steps are about the learning rate,
 * 1e-3, whatever the gradient's size, so where a gradient is rounding noise a parameter may go the other way: 99 % of all
 * parameters must agree to 1e-5, every one to the 6e-3 that three opposite steps come to.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { readTrainingGolden } from '../../testing/training.ts'
import { LossEvaluation, TrainStep } from '../index.ts'

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json'
if (process.env.VK_ICD_FILENAMES === undefined && existsSync(swiftShader)) process.env.VK_ICD_FILENAMES = swiftShader
process.env.XDG_RUNTIME_DIR ??= mkdtempSync(join(tmpdir(), 'parscale-xdg-'))

const runtimes = { cpu: onnxRuntime({ threads: 2 }), webgpu: onnxRuntime({ device: 'webgpu' }) }

describe.each([
  ['qwen2-p1', 1],
  ['parscale-p2', 1],
  ['parscale-p2', 2],
] as const)('%s in %i micro-batches', (name, microBatches) => {
  it('takes three steps as on the CPU, reads them back and evaluates', { timeout: 600_000 }, async () => {
    const golden = await readTrainingGolden(name)
    const plan = golden.plan({ sequences: 2 / microBatches, tokens: 12 })
    const train = async (device: keyof typeof runtimes) => {
      const step = await TrainStep.create(runtimes[device], plan, { parameters: golden.model }, microBatches)
      const losses = []
      for (const [i, rows] of golden.train.batches.slice(0, 3).entries()) {
        const batches = microBatches === 1 ? [{ ids: rows.flat() }] : rows.map((ids) => ({ ids }))
        const options = { learningRate: golden.learningRate, step: i + 1 }
        // A step that is refused must not move anything on the device either.
        await step.run(batches, { ...options, accept: () => false })
        losses.push((await step.run(batches, options)).loss)
      }
      const onDevice = Object.values(step.parameterFeeds).map((tensor) => tensor.location)
      const evaluation = await LossEvaluation.create(runtimes[device], plan)
      const rows = golden.train.batches[0]!
      const surprisals = await evaluation.run(step.parameterFeeds, { ids: microBatches === 1 ? rows.flat() : rows[0]! })
      const state = await step.readState()
      await Promise.all([evaluation.dispose(), step.dispose()])
      return { losses, onDevice: new Set(onDevice), surprisals, state }
    }
    const [cpu, gpu] = [await train('cpu'), await train('webgpu')]
    expect([...gpu.onDevice]).toEqual(['gpu-buffer'])
    for (const [i, loss] of cpu.losses.entries()) expect(Math.abs(gpu.losses[i]! - loss)).toBeLessThan(1e-4)
    for (const [i, nats] of cpu.surprisals.entries()) expect(Math.abs(gpu.surprisals[i]! - nats)).toBeLessThan(1e-3)
    const differences = [...cpu.state.parameters].flatMap(([tensor, array]) => {
      const found = gpu.state.parameters.get(tensor)!
      return Array.from(array, (x, i) => Math.abs(x - found[i]!))
    })
    expect(differences.reduce((a, b) => Math.max(a, b))).toBeLessThan(6e-3)
    expect(differences.filter((d) => d > 1e-5).length / differences.length).toBeLessThan(0.01)
  })
})
