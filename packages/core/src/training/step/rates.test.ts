/** Rates of their own for the aggregator or for what tells streams apart: their step is that of the smaller rate, all others' that of the larger one. */

import { expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { type AdamWOptions, TrainStep } from '../index.ts'

const ids = Array.from({ length: 13 }, (_, i) => (17 + 31 * i * i) % 259)

async function afterOneStep(learningRate: number, rates: Partial<AdamWOptions>, micro: number) {
  const { model, plan: planOf } = await readTrainingModel('parscale-p2')
  const plan = planOf({ sequences: 1, tokens: 12 })
  const optimizer = { ...plan.optimizer, ...rates }
  const step = await TrainStep.create(onnxRuntime({ threads: 1 }), { ...plan, optimizer }, { parameters: model }, micro)
  await step.run(new Array(micro).fill({ ids }), { learningRate, step: 1 })
  const { parameters } = await step.readState()
  await step.dispose()
  return { trainable: plan.trainable, before: model, parameters }
}

it.each([
  ['aggregation', { aggregatorRate: 0.25 }, 1],
  ['aggregation', { aggregatorRate: 0.25 }, 2],
  ['prefix', { streamRate: 0.25 }, 1],
] as const)('%s: %j, %i micro-batches', async (slower, rates, micro) => {
  const { trainable, before, parameters } = await afterOneStep(0.1, rates, micro)
  const [large, small] = [(await afterOneStep(0.1, {}, micro)).parameters, (await afterOneStep(0.025, {}, micro)).parameters]
  for (const { name, part } of trainable) {
    const expected = (part === slower ? small : large).get(name)!
    expect(maxDifference(parameters.get(name)!, expected), name).toBeLessThan(1e-6)
    expect(maxDifference(parameters.get(name)!, before.get(name)!), name).toBeGreaterThan(1e-3)
  }
})
