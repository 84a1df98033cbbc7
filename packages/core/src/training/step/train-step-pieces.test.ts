/** On the CPU a large parameter is moved in pieces, in place: the same as AdamW written down in plain TypeScript. */

import { expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { createRandom } from '../../random.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { decays, pieceElements, TrainStep } from '../index.ts'

const embedding = 'model.embed_tokens.weight'

it('moves an embedding of two pieces and a rest as AdamW does, twice', async () => {
  const { config, model, plan: planOf } = await readTrainingModel('qwen2-p1')
  const [vocabSize, hiddenSize] = [6203, config.hiddenSize]
  expect(vocabSize * hiddenSize).toBeGreaterThan(2 * pieceElements)
  const shape = { sequences: 1, tokens: 12 }
  const base = planOf(shape)
  const trainable = base.trainable.map((p) => (p.name === embedding ? { ...p, shape: [vocabSize, hiddenSize] } : p))
  const plan = { ...base, config: { ...config, vocabSize }, trainable }
  const random = createRandom(1)
  const rows = Float32Array.from({ length: vocabSize * hiddenSize }, () => 0.02 * random.normal())
  const step = await TrainStep.create(onnxRuntime({ threads: 2 }), plan, { parameters: new Map(model).set(embedding, rows) })

  const { betas, epsilon, weightDecay } = plan.optimizer
  const [b1, b2] = betas
  for (const t of [1, 2]) {
    const copy = (arrays: ReadonlyMap<string, Float32Array>) => new Map([...arrays].map(([name, array]) => [name, array.slice()]))
    const state = await step.readState()
    const before = { parameters: copy(state.parameters), m: copy(state.m), v: copy(state.v) }
    const ids = Array.from({ length: 13 }, (_, i) => (t * 101 + 97 * i * i) % vocabSize)
    await step.run([{ ids }], { learningRate: 0.01, step: t })
    const after = await step.readState()
    for (const { name, shape } of trainable) {
      const [m, v] = [after.m.get(name)!, after.v.get(name)!]
      // The gradient is what m has gained; v must have gained its square.
      const grad = Float64Array.from(m, (x, i) => (x - b1 * before.m.get(name)![i]!) / (1 - b1))
      const expectedV = grad.map((g, i) => b2 * before.v.get(name)![i]! + (1 - b2) * g * g)
      expect(maxDifference(v, Float32Array.from(expectedV)), `v of ${name}`).toBeLessThan(1e-7)
      const keep = decays(shape) ? 1 - 0.01 * weightDecay : 1
      const expected = before.parameters
        .get(name)!
        .map((x, i) => keep * x - (0.01 * (m[i]! / (1 - b1 ** t))) / (Math.sqrt(v[i]! / (1 - b2 ** t)) + epsilon))
      expect(maxDifference(after.parameters.get(name)!, expected), name).toBeLessThan(1e-6)
    }
    expect(
      maxDifference(after.parameters.get(embedding)!.slice(-hiddenSize), before.parameters.get(embedding)!.slice(-hiddenSize)),
    ).toBeGreaterThan(1e-3)
  }
  await step.dispose()
})
