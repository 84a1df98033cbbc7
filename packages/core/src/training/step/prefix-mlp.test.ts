/** Prefixes made by a network while training: they learn, and merged ones give the same bits. */

import { Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { type Parameter, prefixName, streamParameters } from '../../model/index.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { initialParameters, LossEvaluation, mergePrefixes, prefixMlpParameters, type TrainPlan, TrainStep } from '../index.ts'

const size = 24
const shape = { sequences: 2, tokens: 12 }
const ids = Array.from({ length: 2 * 13 }, (_, i) => (17 + 31 * i * i) % 259)

/** Trains network and aggregator on a frozen backbone; the plans with the network and without. */
async function trained(threads: number, steps: number) {
  const runtime = onnxRuntime({ threads })
  const golden = await readTrainingModel('parscale-p2')
  const { config } = golden
  const streams = streamParameters(config)
  const mlp = prefixMlpParameters(config, size)
  const trainable: Parameter[] = [...mlp, ...streams.filter(({ part }) => part === 'aggregation')]
  const plan: TrainPlan = { ...golden.plan(shape), trainable, prefixMlp: size }
  const start = initialParameters(trainable, config, { seed: 3, init: 'random' })
  const step = await TrainStep.create(runtime, plan, { parameters: start })
  const losses: number[] = []
  for (let i = 1; i <= steps; i++) losses.push((await step.run([{ ids }], { learningRate: 3e-3, step: i })).loss)
  const { parameters, v } = await step.readState()
  const state = { parameters: new Map(parameters), v: new Map(v) }
  await step.dispose()
  const plain: TrainPlan = { ...golden.plan(shape), trainable: streams }
  return { runtime, config, mlp, start, plan, plain, losses, ...state }
}

async function surprisals(runtime: ReturnType<typeof onnxRuntime>, plan: TrainPlan, values: ReadonlyMap<string, Float32Array>) {
  const evaluation = await LossEvaluation.create(runtime, plan)
  const feeds = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', values.get(name)!, shape)])
  const out = (await evaluation.run(Object.fromEntries(feeds), { ids })).slice()
  await evaluation.dispose()
  return out
}

const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length)

describe.each([1, 2])('%d thread(s)', (threads) => {
  it('learns with every parameter, and merges to the same bits', async () => {
    const { runtime, config, mlp, plan, plain, losses, parameters, v } = await trained(threads, 5)
    expect(losses.at(-1)!).toBeLessThan(losses[0]!)
    for (const { name } of mlp)
      expect(
        v.get(name)!.some((x) => x !== 0),
        name,
      ).toBe(true)

    const merged = await mergePrefixes(runtime, config, size, parameters)
    const streams = new Map([...parameters, ...merged])
    for (const { name, shape } of plain.trainable) expect(streams.get(name)!.length, name).toBe(shape.reduce((a, b) => a * b))
    const [made, plainly] = [await surprisals(runtime, plan, parameters), await surprisals(runtime, plain, streams)]
    expect(bits(plainly)).toEqual(bits(made))
    // The prefixes matter: others give other numbers.
    const name = prefixName(0, 'k')
    const other = new Map(streams).set(
      name,
      merged.get(name)!.map((x) => x + 0.01),
    )
    expect(bits(await surprisals(runtime, plain, other))).not.toEqual(bits(made))
  })
})

it('starts with prefixes of the spread that they have without a network', async () => {
  const { runtime, config, start } = await trained(1, 0)
  const values = [...(await mergePrefixes(runtime, config, size, start)).values()].flatMap((array) => [...array])
  const std = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length)
  expect(std).toBeGreaterThan(0.015)
  expect(std).toBeLessThan(0.025)
})
