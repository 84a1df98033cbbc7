/**
 * Whole-model gradients of every decoder family against finite differences of the loss: q/k norms, windows, stretched
 * rotations, biases, streams of every kind, for which no reference gradients are at hand.
 *
 * Per part of the model, the loss is moved along that part's own gradient: its slope there is the gradient's norm. The loss is
 * float32 and about 6, so right to about 1e-6; over a step of 2h = 4e-3 that is 2.5e-4 of slope, where slopes are 0.5 to 12.
 */
import { readdirSync } from 'node:fs'
import { Tensor } from 'onnxruntime-node'
import { expect, it } from 'vitest'
import { readF32 } from '../checkpoint/index.ts'
import { modelFiles } from '../generation/index.ts'
import { backboneParameters, type Part, streamParameters } from '../model/index.ts'
import { openModelFolder } from '../node/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { fixturesFolder } from '../testing/fixtures.ts'
import { gradientGraph, LossEvaluation, lossFeeds, type TrainPlan } from '../training/index.ts'

const names = ['transformers', 'options'].flatMap((group) =>
  readdirSync(`${fixturesFolder}${group}`)
    .filter((name) => !name.endsWith('.md'))
    .map((name) => `${group}/${name}`),
)
const h = 2e-3
const shape = { sequences: 2, tokens: 12 }

it.each(names)('%s', async (name) => {
  const open = await openModelFolder(`${fixturesFolder}${name}`)
  const { config, tied, findWeight } = await modelFiles(open)
  const trainable = [...backboneParameters(config, tied), ...streamParameters(config)]
  const parameters = new Map<string, Float32Array>()
  for (const { name } of trainable) parameters.set(name, await readF32(open.tensors.get(name)!))
  await open.close()

  const optimizer = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 } as const
  const plan: TrainPlan = { config, tied, trainable, frozen: findWeight, shape, optimizer }
  const ids = Array.from({ length: 2 * 13 }, (_, i) => (17 + 31 * i * i) % config.vocabSize)
  const data = lossFeeds(plan)([{ ids }])[0]!
  const tensors = (array: (name: string) => Float32Array) =>
    Object.fromEntries(trainable.map(({ name, shape }) => [name, new Tensor('float32', array(name), shape)]))

  const runtime = onnxRuntime({ threads: 2 })
  const gradient = await runtime.createSession(gradientGraph(plan))
  const out = await gradient.run({ ...data, ...tensors((n) => parameters.get(n)!) })
  const grad = (n: string) => out[`next.gradient.${n}`]!.data as Float32Array

  const evaluation = await LossEvaluation.create(runtime, plan)
  for (const part of new Set(trainable.map((parameter) => parameter.part))) {
    const members = new Set(trainable.filter((parameter) => parameter.part === part).map((parameter) => parameter.name))
    const slope = Math.hypot(...[...members].map((n) => Math.hypot(...grad(n))))
    const lossAt = async (step: number) => {
      const moved = (n: string) =>
        members.has(n) ? parameters.get(n)!.map((x, i) => x + (step * grad(n)[i]!) / slope) : parameters.get(n)!
      const surprisals = await evaluation.run(tensors(moved), { ids })
      return surprisals.reduce((a, b) => a + b, 0) / surprisals.length
    }
    const measured = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h)
    expect(Math.abs(measured - slope), part satisfies Part).toBeLessThan(1e-3 + 2e-4 * slope)
  }
  await Promise.all([gradient.dispose(), evaluation.dispose()])
})
