/** A rate of its own for the aggregator: its step is that of the smaller rate, everything else's that of the larger one. */

import { expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { TrainStep } from '../index.ts'

const ids = Array.from({ length: 13 }, (_, i) => (17 + 31 * i * i) % 259)

async function afterOneStep(learningRate: number, aggregatorRate: number, micro: number) {
  const { model, plan: planOf } = await readTrainingModel('parscale-p2')
  const plan = planOf({ sequences: 1, tokens: 12 })
  const optimizer = { ...plan.optimizer, aggregatorRate }
  const step = await TrainStep.create(onnxRuntime({ threads: 1 }), { ...plan, optimizer }, { parameters: model }, micro)
  await step.run(new Array(micro).fill({ ids }), { learningRate, step: 1 })
  const { parameters } = await step.readState()
  await step.dispose()
  return { trainable: plan.trainable, before: model, parameters }
}

it.each([1, 2])('%i micro-batches', async (micro) => {
  const { trainable, before, parameters } = await afterOneStep(0.1, 0.25, micro)
  const [large, small] = [(await afterOneStep(0.1, 1, micro)).parameters, (await afterOneStep(0.025, 1, micro)).parameters]
  for (const { name, part } of trainable) {
    const expected = (part === 'aggregation' ? small : large).get(name)!
    expect(maxDifference(parameters.get(name)!, expected), name).toBeLessThan(1e-6)
    expect(maxDifference(parameters.get(name)!, before.get(name)!), name).toBeGreaterThan(1e-3)
  }
})
