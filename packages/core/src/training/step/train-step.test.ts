/** Training against the reference implementation's numbers: gradients, and three AdamW steps. */

import { Tensor } from 'onnxruntime-node'
import { beforeAll, describe, expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { readTrainingGolden, readTrainingModel, type TrainingGolden, trainingGoldens } from '../../testing/training.ts'
import { decays, gradientGraph, LossEvaluation, lossFeeds, type TokenBatch, TrainStep, updateGraph } from '../index.ts'

const runtime = onnxRuntime({ threads: 2 })
const lossTolerance = 1e-5
const normTolerance = 1e-5 // relative
const gradTolerance = 2e-5

type Arrays = ReadonlyMap<string, Float32Array>
type Plan = ReturnType<TrainingGolden['plan']>

/** Loss and gradients of one batch. */
async function gradientsOf(plan: Plan, model: Arrays, batch: TokenBatch) {
  const session = await runtime.createSession(gradientGraph(plan))
  const feeds = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', model.get(name)!, shape)])
  const out = await session.run({
    ...Object.fromEntries(feeds),
    ...lossFeeds(plan)([batch])[0],
  })
  await session.dispose()
  const grads = new Map(plan.trainable.map(({ name }) => [name, out[`next.gradient.${name}`]!.data as Float32Array]))
  return { loss: Number(out.loss!.data[0]), grads }
}

async function lossOf(plan: Plan, parameters: Parameters<LossEvaluation['run']>[0], ids: readonly number[]): Promise<number> {
  const evaluation = await LossEvaluation.create(runtime, plan)
  const surprisals = await evaluation.run(parameters, { ids })
  await evaluation.dispose()
  return surprisals.reduce((a, b) => a + b, 0) / surprisals.length
}

const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b)
const norm = (grads: Arrays) => Math.hypot(...[...grads.values()].map((grad) => Math.hypot(...grad)))

/** Within 1e-5 for 99.9 % of all elements, within 3e-3 for every one (AdamW makes full steps of gradients that are noise). */
function expectSameParameters(found: Arrays, expected: Arrays): void {
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort())
  const counts = [...expected].map(([name, array]) => {
    expect(maxDifference(found.get(name)!, array), name).toBeLessThan(3e-3)
    return { far: array.filter((x, i) => Math.abs(x - found.get(name)![i]!) > 1e-5).length, all: array.length }
  })
  const sum = (of: 'far' | 'all') => counts.reduce((total, count) => total + count[of], 0)
  expect(sum('far') / sum('all')).toBeLessThan(1e-3)
}

describe.each(trainingGoldens)('%s', (name) => {
  let golden: TrainingGolden
  const one = { sequences: 1, tokens: 12 }
  const two = { sequences: 2, tokens: 12 }

  beforeAll(async () => {
    golden = await readTrainingGolden(name)
  })

  it('has the reference loss and gradients', async () => {
    const { loss, grads } = await gradientsOf(golden.plan(one), golden.model, { ids: golden.loss.ids })
    expect(Math.abs(loss - golden.loss.value)).toBeLessThan(lossTolerance)
    expect([...grads.keys()].sort()).toEqual([...golden.grads.keys()].sort())
    for (const [tensor, grad] of golden.grads) {
      expect(maxDifference(grads.get(tensor)!, grad), tensor).toBeLessThan(gradTolerance)
    }
    expect(relative(norm(grads), golden.loss.grad_norm)).toBeLessThan(normTolerance)
  })

  it('decays what the reference decays', () => {
    const { trainable } = golden.plan(one)
    const names = trainable.filter((parameter) => decays(parameter.shape)).map((parameter) => parameter.name)
    expect(names.sort()).toEqual(golden.train.decay)
  })

  it('takes the reference steps', async () => {
    const step = await TrainStep.create(runtime, golden.plan(two), { parameters: golden.model })
    for (const [i, expected] of golden.train.steps.entries()) {
      const options = { learningRate: golden.learningRate, step: i + 1 }
      const report = await step.run([{ ids: golden.train.batches[i]!.flat() }], options)
      expect(Math.abs(report.loss - expected.loss)).toBeLessThan(lossTolerance)
      expect(relative(report.gradNorm, expected.grad_norm)).toBeLessThan(normTolerance)
      expect(relative(report.gradScale, expected.grad_scale)).toBeLessThan(normTolerance)
    }
    const { parameters } = await step.readState()
    expectSameParameters(parameters, golden.after3)
    // Tolerances alone would let some tensors pass unmoved; three steps of about 1e-3 move each one further than this.
    for (const [tensor, start] of golden.model)
      expect(maxDifference(parameters.get(tensor)!, start), tensor).toBeGreaterThan(5e-4)
    const { ids, value } = golden.train.loss_after
    expect(Math.abs((await lossOf(golden.plan(one), step.parameterFeeds, ids)) - value)).toBeLessThan(lossTolerance)
    await step.dispose()
  })

  it('takes the same step over two micro-batches, whatever their weights', async () => {
    const batches = golden.train.batches[0]!
    const weights = batches.map((_, b) => Float32Array.from({ length: 12 }, (_, t) => (t > 3 * b ? 1 + b : 0)))
    const whole = await TrainStep.create(runtime, golden.plan(two), { parameters: golden.model })
    const parts = await TrainStep.create(runtime, golden.plan(one), { parameters: golden.model }, 2)
    const options = { learningRate: golden.learningRate, step: 1 }
    const report = await whole.run([{ ids: batches.flat(), weights: weights.flatMap((w) => [...w]) }], options)
    const inParts = await parts.run(
      batches.map((ids, b) => ({ ids, weights: weights[b]! })),
      options,
    )
    expect(Math.abs(inParts.loss - report.loss)).toBeLessThan(lossTolerance)
    expect(relative(inParts.gradNorm, report.gradNorm)).toBeLessThan(normTolerance)
    const [inOne, summed] = [await whole.readState(), await parts.readState()]
    expectSameParameters(summed.parameters, inOne.parameters)
    for (const [name, m] of inOne.m) expect(maxDifference(summed.m.get(name)!, m), name).toBeLessThan(1e-7)
    await Promise.all([whole.dispose(), parts.dispose()])
  })

  it('stops at a gradient that is not finite, names it, and leaves no trace', async () => {
    const name = 'model.layers.1.post_attention_layernorm.weight'
    const parameters = new Map(golden.model).set(name, new Float32Array(64).fill(Number.NaN))
    const step = await TrainStep.create(runtime, golden.plan(two), { parameters })
    const batch = { ids: golden.train.batches[0]!.flat() }
    await expect(step.run([batch], { learningRate: 1e-3, step: 7 })).rejects.toThrow(/^step 7: the gradient of .* not a number/)
    expect((await step.readState()).parameters).toEqual(parameters)
    await step.dispose()
  })

  it('refuses a step that the caller refuses, and goes on as if it had not been', async () => {
    const step = await TrainStep.create(runtime, golden.plan(two), { parameters: golden.model })
    const [first, second] = golden.train.batches.map((batch) => [{ ids: batch.flat() }])
    const options = { learningRate: golden.learningRate, step: 1 }
    const refused = await step.run(second!, { ...options, accept: (report) => report.loss < 0 })
    expect((await step.readState()).parameters).toEqual(golden.model)
    const report = await step.run(first!, options)
    expect(Math.abs(report.loss - golden.train.steps[0]!.loss)).toBeLessThan(lossTolerance)
    expect(refused.loss).not.toBe(report.loss)
    await step.dispose()
  })
})

describe.each(['parscale-p2', 'parscale-p4'])('%s with a frozen backbone', (name) => {
  it('computes the gradients of the streams, the same, and no others', async () => {
    const golden = await readTrainingGolden(name)
    const shape = { sequences: 1, tokens: 12 }
    const plan = golden.plan(shape, ({ part }) => part === 'prefix' || part === 'aggregation')
    const names = plan.trainable.map((parameter) => parameter.name)
    expect(names).toHaveLength(8)
    const { loss, grads } = await gradientsOf(plan, golden.model, { ids: golden.loss.ids })
    expect(Math.abs(loss - golden.loss.value)).toBeLessThan(lossTolerance)
    for (const [tensor, grad] of grads) expect(maxDifference(grad, golden.grads.get(tensor)!), tensor).toBeLessThan(gradTolerance)

    const graph = gradientGraph(plan)
    expect(graph.outputs.map((output) => output.name).sort()).toEqual(
      ['grad_squares', 'loss', ...names.map((n) => `next.gradient.${n}`)].sort(),
    )
    // A weight's gradient is the product that takes its first factor transposed: here the aggregator's two.
    const weightGradients = (g: typeof graph) => g.nodes.filter(({ op, attributes }) => op === 'Gemm' && attributes.transA === 1)
    expect(weightGradients(graph)).toHaveLength(2)
    expect(weightGradients(gradientGraph(golden.plan(shape))).length).toBe(2 + 2 * 7 + 1)
    const state = updateGraph(plan).inputs.filter((input) => /^[mv]\./.test(input.name))
    expect(state).toHaveLength(2 * names.length)
  })
})

it('trains streams on a frozen backbone stored as BF16 as on the same numbers in F32', async () => {
  const { plan, model, config } = await readTrainingModel('parscale-p8-bf16')
  const shape = { sequences: 1, tokens: 6 }
  const isStream = ({ part }: { part: string }) => part === 'prefix' || part === 'aggregation'
  const ids = Array.from({ length: 7 }, (_, i) => (i * 37) % config.vocabSize)
  const all = await gradientsOf(plan(shape), model, { ids })
  const streams = await gradientsOf(plan(shape, isStream), model, { ids })
  expect(Math.abs(streams.loss - all.loss)).toBeLessThan(lossTolerance)
  expect(streams.grads.size).toBe(2 * config.numHiddenLayers + 4)
  for (const [tensor, grad] of streams.grads) {
    expect(maxDifference(grad, all.grads.get(tensor)!), tensor).toBeLessThan(gradTolerance)
  }
})

it('is the same to the last bit from run to run, on however many threads', async () => {
  const { plan, model, config } = await readTrainingModel('parscale-p4')
  const shape = { sequences: 8, tokens: 64 }
  const ids = Array.from({ length: 8 * 65 }, (_, i) => (i * i) % Math.min(50, config.vocabSize))
  const results = []
  for (const threads of [1, 2, 2]) {
    const step = await TrainStep.create(onnxRuntime({ threads }), plan(shape), { parameters: model })
    const reports = []
    for (const t of [1, 2]) reports.push(await step.run([{ ids }], { learningRate: 1e-3, step: t }))
    results.push({
      reports,
      parameters: new Map([...(await step.readState()).parameters].map(([name, array]) => [name, array.slice()])),
    })
    await step.dispose()
  }
  expect(results[1]).toEqual(results[0])
  expect(results[2]).toEqual(results[0])
})

it.each(['qwen2-p1', 'parscale-p2'])('%s: nothing is seen across documents where the plan says so', async (name) => {
  const { plan, model, config } = await readTrainingModel(name)
  const shape = { sequences: 2, tokens: 12 }
  const documents = [...Array(5).fill(0), ...Array(8).fill(1), ...Array(13).fill(2)]
  const ids = documents.map((_, i) => (i * 37 + 1) % config.vocabSize)
  const otherFirst = ids.map((id, i) => (documents[i] === 0 ? (id + 5) % config.vocabSize : id))
  const surprisals = async (documentMask: boolean) => {
    const masked = { ...plan(shape), documentMask }
    const feeds = masked.trainable.map(({ name, shape }) => [name, new Tensor('float32', model.get(name)!, shape)])
    const evaluation = await LossEvaluation.create(runtime, masked)
    const run = (of: number[]) => evaluation.run(Object.fromEntries(feeds), { ids: of, documents })
    const both = [await run(ids), await run(otherFirst)] as const
    await evaluation.dispose()
    return both
  }
  const [before, after] = await surprisals(true)
  // Position 4 is the last of document 0 and predicts the first token of document 1; from 5 on nothing is left of document 0.
  expect(maxDifference(before.slice(5), after.slice(5))).toBe(0)
  const [seen, seenAfter] = await surprisals(false)
  expect(maxDifference(seen.slice(5, 12), seenAfter.slice(5, 12))).toBeGreaterThan(1e-4)
  expect(maxDifference(seen.slice(12), before.slice(12))).toBe(0)
})
