/** What is no number in the sense of a cost is refused by name: no public function makes a result of it. */
import { describe, expect, it } from 'vitest'
import { deviceCost } from './device-cost.ts'
import { devices } from './devices.ts'
import { headline, headlineOf } from './figure4.ts'
import { countParameters } from './parameters.ts'
import { familyShapes, makePlan, type PlanRequest } from './plan.ts'
import { weightFormats } from './quantisation.ts'
import { referenceCost } from './reference.ts'
import { publishedModel, qwenShape, validateShape } from './shapes.ts'
import { trainingCost, trainingFlopsPerToken } from './training.ts'

const { shape } = publishedModel('1.6B')
const [device] = devices
const workload = { P: 2, batch: 1, inputTokens: 64, outputTokens: 64 }
const precision = { weightBits: 8, kvBits: 16 }
const run = { P: 2, firstStageTokens: 1e9, secondStageTokens: 1e9, sequenceLength: 2048, deviceCount: 8, utilisation: 0.4 }
const request: PlanRequest = {
  device: device!,
  budget: { memoryBytes: 8e9 },
  shapes: [shape],
  streams: [1, 2],
  formats: [weightFormats[0]!],
  batch: 1,
  inputTokens: 64,
  outputTokens: 64,
  kvBits: 16,
  trainingTokens: 1e9,
  trainingSequenceLength: 2048,
  loss: () => 1,
}
const wrongNumbers: readonly unknown[] = [0, -1, Number.NaN, Infinity, -Infinity, '1', '', null, true, [1], {}, 1n]
const refusal = (name: string) => expect.objectContaining({ kind: 'usage', message: expect.stringContaining(name) })
const has = <T extends object>(values: T, key: string, value: unknown): T => ({ ...values, [key]: value })

describe.each(wrongNumbers.map((wrong) => [wrong] as const))('%o', (wrong) => {
  it.each(Object.keys(workload))('is no %s of a workload', (key) => {
    expect(() => deviceCost(shape, has(workload, key, wrong), device!, precision)).toThrow(refusal(key))
    expect(() => referenceCost(shape, has(workload, key, wrong))).toThrow(refusal(key))
  })

  it.each(Object.keys(precision))('is no %s', (key) => {
    expect(() => deviceCost(shape, workload, device!, has(precision, key, wrong))).toThrow(refusal(key))
  })

  it.each(['memoryBytes', 'bytesPerSecond', 'flopsPerSecond'])('is no %s of a device', (key) => {
    expect(() => deviceCost(shape, workload, has(device!, key, wrong), precision)).toThrow(refusal(key))
  })

  it.each(['bandwidth', 'flops'])('is no efficiency: %s', (key) => {
    const efficiency = has({ bandwidth: 1, flops: 1 }, key, wrong)
    expect(() => deviceCost(shape, workload, device!, precision, efficiency)).toThrow(refusal(key))
  })

  it.each(['vocabSize', 'hiddenSize', 'intermediateSize', 'numHiddenLayers', 'numAttentionHeads', 'numKeyValueHeads', 'headDim'])(
    'is no %s of a shape',
    (key) => {
      const spoiled = has(shape, key, wrong)
      expect(() => validateShape(spoiled)).toThrow(refusal(key))
      expect(() => countParameters(spoiled, 2)).toThrow(refusal(key))
      expect(() => trainingFlopsPerToken(spoiled, 2, 64)).toThrow(refusal(key))
      expect(() => referenceCost(spoiled, workload)).toThrow(refusal(key))
    },
  )

  it('is no P and no sequence length', () => {
    expect(() => countParameters(shape, wrong as number)).toThrow(refusal('P'))
    expect(() => trainingFlopsPerToken(shape, wrong as number, 64)).toThrow(refusal('P'))
    expect(() => trainingFlopsPerToken(shape, 2, wrong as number)).toThrow(refusal('sequenceLength'))
    expect(() => countParameters(qwenShape(wrong as number, 1024), 1)).toThrow(refusal('hiddenSize'))
    expect(() => familyShapes(wrong as number)).toThrow(refusal('smallestHidden'))
    expect(() => familyShapes(896, wrong as number)).toThrow(refusal('largestHidden'))
  })

  it.each(Object.keys(run))('is no %s of a training', (key) => {
    if (wrong === 0 && key.endsWith('StageTokens')) return // a stage may be left out
    expect(() => trainingCost(shape, has(run, key, wrong), device!)).toThrow(refusal(key))
  })

  it('is no number of a plan', () => {
    for (const key of ['memoryBytes', 'secondsPerToken', 'trainingFlops']) {
      if (wrong === Infinity) continue // no limit
      expect(() => makePlan({ ...request, budget: { [key]: wrong } })).toThrow(refusal(key))
    }
    for (const key of ['batch', 'inputTokens', 'outputTokens', 'kvBits'])
      expect(() => makePlan(has(request, key, wrong))).toThrow(refusal(key))
    expect(() => makePlan({ ...request, streams: [1, wrong as number] })).toThrow(refusal('P'))
    expect(() => makePlan({ ...request, loss: () => wrong as number })).toThrow(refusal('loss'))
  })

  it.each(['base', 'parallel', 'larger', 'largest'])('is no cost of a headline: %s', (key) => {
    expect(() => headlineOf(has({ base: 1, parallel: 2, larger: 3, largest: 4 }, key, wrong))).toThrow(refusal(key))
  })
})

it('lists of a plan and of a headline hold something', () => {
  for (const key of ['shapes', 'streams', 'formats']) expect(() => makePlan(has(request, key, []))).toThrow(refusal(key))
  expect(() => headline([])).toThrow(refusal('batches'))
})
