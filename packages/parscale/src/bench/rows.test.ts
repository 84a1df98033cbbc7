import { countMatrixWeights, publishedModels, qwenShape } from '@parscale/core/internal/cost'
import { expect, test } from 'vitest'
import type { BenchModel } from './bench-model.ts'
import { type Case, cacheBytes, crossCases, requireMemory } from './cases.ts'
import type { Turn } from './job.ts'
import { readRate, rowOf, streamRatios } from './rows.ts'

const shape = { ...qwenShape(128, 256), numHiddenLayers: 2, vocabSize: 1000 }
const model: BenchModel = {
  name: 'tiny',
  bits: 8,
  shape,
  backbone: '/models/tiny',
  streamSet: (p) => (p === 1 ? undefined : `/models/tiny/streams/p${p}`),
  weightBytes: 1_000_000,
  streamBytes: (p) => (p === 1 ? 0 : 1000 * p),
  weightBits: 8.25,
}
const lists = {
  models: [model],
  engine: ['onnx'] as const,
  threads: [undefined],
  p: [1, 8],
  kv: ['f32'] as const,
  batch: [1, 2],
  context: [10, 20],
}
const cases = crossCases({ ...lists, prompt: undefined, steps: 4 })
const device = {
  name: 'this-machine',
  title: 'a machine',
  kind: 'measured' as const,
  memoryBytes: 1e9,
  bytesPerSecond: 1e9,
  flopsPerSecond: 1e12,
  int8OpsPerSecond: 2e12,
  source: 'made up',
}
const turn = (...stepMs: number[]): Turn => ({ loadMs: 5, prefillMs: 100, stepMs, peakMemoryBytes: 2e8, cacheBytes: 5000 })

test('lists are crossed, and a prompt is as long as the context unless it is given', () => {
  expect(cases).toHaveLength(8)
  expect(cases.map(({ context, prompt }) => prompt === context)).not.toContain(false)
  expect(new Set(cases.map(({ p, batch, context }) => `${p} ${batch} ${context}`)).size).toBe(8)
  expect(crossCases({ ...lists, prompt: 7, steps: 4 })[0]).toMatchObject({ context: 10, prompt: 7 })
})

test('a row: medians over all rounds, rates of all requests, the limit that bandwidth sets', () => {
  const one = cases.find(({ p, batch, context }) => p === 8 && batch === 2 && context === 20)!
  const row = rowOf(one, [turn(1, 2, 30), turn(4, 5, 6)], device)
  expect(row).toMatchObject({ model: 'tiny', bits: 8, p: 8, batch: 2, context: 20, msPerToken: 4.5, tokensPerSecond: 2000 / 4.5 })
  expect(row.msPerTokenSpread).toMatchObject({ min: 1, max: 30, samples: 6 })
  expect(row.prefillTokensPerSecond).toBeCloseTo((2 * 20 * 1000) / 100, 9)
  expect(row.weightBytes).toBe(1_008_000)
  expect(row.allowedMemoryBytes).toBeCloseTo(1.15 * (1_008_000 + 5000 + 150e6), 3)
  // The share of the bandwidth that is used is the share of the limit where bandwidth is what limits.
  expect(row.limit!.binds).toBe('memory bandwidth')
  expect(row.bandwidthShare).toBeCloseTo(row.limitShare!.decode, 9)
  expect(row.limitShare!.decode).toBeCloseTo(row.limit!.msPerToken / 4.5, 9)
})

test('ratios compare rounds with each other, and only cases that differ in P', () => {
  const rounds = (...factors: number[]) => factors.map((factor) => turn(10 * factor, 10 * factor))
  const ratios = streamRatios(
    cases,
    cases.map(({ p }) => (p === 1 ? rounds(1, 2, 4) : rounds(2, 5, 6))),
  )
  expect(ratios).toHaveLength(4)
  for (const ratio of ratios) expect(ratio).toMatchObject({ p: 8, against: 1, ratio: 2, low: 1.5, high: 2.5 })
})

test('what does not fit into memory is refused with the numbers', () => {
  const one = cases.at(-1)! as Case
  const needed = 1.15 * (1_008_000 + cacheBytes(one) + 150e6)
  expect(() => requireMemory(cases, needed)).not.toThrow()
  expect(() => requireMemory(cases, needed - 1)).toThrow(
    expect.objectContaining({
      kind: 'resource',
      message: expect.stringMatching(/tiny in 8 bits at P = 8, batch 2, context 20 needs 17\d MB/),
    }),
  )
})

const cached = { ...device, bytesPerSecond: 30e9, cacheBytes: 32 * 2 ** 20, cacheBytesPerSecond: 120e9 }

test('what the last cache keeps is read at its rate, and only that', () => {
  expect(readRate(device, 1e6)).toBe(1e9)
  expect(readRate(cached, 1e6)).toBeCloseTo(120e9, 0)
  expect(readRate(cached, cached.cacheBytes)).toBeCloseTo(120e9, 0)
  expect(readRate(cached, 2 * cached.cacheBytes)).toBeCloseTo(2 / (1 / 120e9 + 1 / 30e9), 0)
  expect(readRate(cached, 1e12)).toBeCloseTo(30e9, -7)
})

/** An engine that does nothing but read its weights and keys as fast as the device was measured, and multiply as fast. */
function perfectTurn(one: Case): Turn {
  const { shape, weightBits } = one.model
  const [rows, M] = [one.batch * one.p, countMatrixWeights(shape)]
  const [q, k] = [shape.numAttentionHeads * shape.headDim, shape.numKeyValueHeads * shape.headDim]
  const seconds = (bytes: number, operations: number, rate: number) =>
    Math.max(bytes / readRate(cached, bytes), operations / rate)
  const rate = weightBits < 16 ? cached.int8OpsPerSecond : cached.flopsPerSecond
  const outputs = shape.vocabSize * shape.hiddenSize
  const positions = one.context + one.steps + shape.prefixTokens
  // Aggregation reads P h h weights in 16 bits.
  const aggregation = one.p > 1 ? one.p * shape.hiddenSize ** 2 + one.p * shape.hiddenSize : 0
  const keyBytes = (rows * shape.numHiddenLayers * 2 * k * positions * 8 * 4) / 8
  const stepBytes = ((M + outputs) * weightBits) / 8 + keyBytes + 2 * aggregation
  const attention = 4 * q * shape.numHiddenLayers * positions
  const stepOperations = rows * (2 * M + attention) + one.batch * 2 * (outputs + aggregation)
  const prompt = rows * one.prompt * (2 * M + attention) + one.batch * 2 * (outputs + aggregation)
  const stepMs = 1e3 * seconds(stepBytes, stepOperations, rate)
  return {
    loadMs: 1,
    prefillMs: 1e3 * seconds(stepBytes, prompt, rate),
    stepMs: [stepMs],
    peakMemoryBytes: 1,
    cacheBytes: keyBytes,
  }
}

test('no share of a limit passes 100 %: every published shape and a tiny one, in 4 to 32 bits, P and batches of 1 to 8, short and long', () => {
  const shapes = [shape, ...publishedModels.map((one) => one.shape)]
  const models = shapes.flatMap((each) =>
    [4.25, 8.25, 16, 32].map((weightBits) => ({ ...model, shape: each, weightBits, weightBytes: 1, streamBytes: () => 0 })),
  )
  const all = crossCases({ ...lists, models, p: [1, 2, 8], batch: [1, 8], context: [1, 256, 8192], prompt: undefined, steps: 4 })
  expect(all.length).toBeGreaterThan(300)
  for (const one of all) {
    const { limitShare, bandwidthShare } = rowOf(one, [perfectTurn(one)], cached)
    for (const share of [limitShare!.decode, limitShare!.prefill, bandwidthShare!]) {
      expect(share).toBeGreaterThan(0)
      expect(share).toBeLessThanOrEqual(1)
    }
  }
})
