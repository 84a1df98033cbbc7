/** Outputs of a run that are told to be whole while it goes on: they do not change any more, and come from the last layer to the first. */
import { Tensor } from 'onnxruntime-common'
import { expect, it } from 'vitest'
import { backboneParameters, parscaleConfig } from '../../core/src/model/index.ts'
import { readTrainingModel } from '../../core/src/testing/training.ts'
import { gradientGraph, initialParameters, lossFeeds, type TrainPlan } from '../../core/src/training/index.ts'
import { nativeModule, nativeRuntime } from '../src/index.ts'

it('are what they are in the end', async () => {
  const golden = await readTrainingModel('qwen2-p1')
  const config = {
    ...golden.config,
    ...{ hiddenSize: 128, intermediateSize: 384, numHiddenLayers: 6, numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 32 },
    ...{
      vocabSize: 512,
      maxPositionEmbeddings: 256,
      slidingWindows: new Array<null>(6).fill(null),
      parscale: parscaleConfig({ n: 1 }),
    },
  }
  const shape = { sequences: 8, tokens: 256 }
  const base = golden.plan(shape)
  const plan: TrainPlan = { ...base, config, tied: true, trainable: backboneParameters(config, true) }
  const parameters = initialParameters(plan.trainable, config, { seed: 1, init: 'random' })
  const graph = gradientGraph(plan, { norms: false })
  const ids = Array.from({ length: 8 * 257 }, (_, i) => (17 + 31 * i * i) % config.vocabSize)
  const feeds = {
    ...lossFeeds(plan)([{ ids }])[0],
    ...Object.fromEntries(
      plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', parameters.get(name)!, [...shape])]),
    ),
  }
  const outputs = Object.fromEntries(
    plan.trainable.map(({ name, shape }) => {
      const count = shape.reduce((n, dim) => n * dim, 1)
      return [`next.gradient.${name}`, new Tensor('float32', new Float32Array(count).fill(Number.NaN), [...shape])]
    }),
  )
  const session = await nativeRuntime({ threads: 2 }).createSession(graph)
  const told = new Map<string, Float32Array>()
  // A thread that gets no processor meanwhile is told of nothing: then once more.
  for (let tries = 0; tries < 20 && told.size <= plan.trainable.length / 3; tries++) {
    told.clear()
    await session.run(feeds, outputs, (name) => {
      expect(told.has(name)).toBe(false)
      told.set(name, (outputs[name]?.data as Float32Array | undefined)?.slice() ?? new Float32Array())
    })
  }
  await session.dispose()
  expect(told.size).toBeGreaterThan(plan.trainable.length / 3)
  for (const [name, values] of told) if (outputs[name]) expect(values, name).toEqual(outputs[name].data)
  // Gains and biases are summed at the end.
  const layers = [...told.keys()].flatMap((name) => /layers\.(\d+)\..*proj\.weight$/.exec(name)?.[1] ?? []).map(Number)
  expect(layers).toEqual(layers.toSorted((a, b) => b - a))
})

it('need a word to be told by', () => {
  const loaded = nativeModule()
  if (!('module' in loaded)) throw new Error(loaded.reason)
  const { module } = loaded
  // A program of no step, whose arena is empty.
  const program = module.createProgram(new Float64Array(), Float64Array.of(0), 1, 0)
  expect(() => module.runProgram(program, [], new Int32Array(2))).toThrow('progress is not an Int32Array of one number')
  expect(() => module.runProgram(program, [], new Float32Array(1) as never)).toThrow(
    'progress is not an Int32Array of one number',
  )
  module.closeProgram(program)
})
