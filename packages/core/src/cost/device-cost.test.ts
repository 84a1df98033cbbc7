import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deviceCost, type Term } from './device-cost.ts'
import { type Device, deviceNamed, devices } from './devices.ts'
import { countParameters } from './parameters.ts'
import { publishedModel, qwenShape } from './shapes.ts'

const { shape } = publishedModel('1.6B')
const full = { weightBits: 16, kvBits: 16 }
const workload = { P: 1, batch: 1, inputTokens: 100, outputTokens: 50 }
const a100 = deviceNamed('a100-80gb')
const value = (terms: readonly Term[], name: string) => terms.find((term) => term.name === name)!.value

describe('by hand, on a machine of 1 FLOP and 1 byte a second', () => {
  const unit: Device = {
    name: 'unit',
    title: 'unit',
    kind: 'measured',
    memoryBytes: 1e18,
    bytesPerSecond: 1,
    flopsPerSecond: 1,
    source: 'test',
  }
  // Two heads of 2, one key/value head: q = 4, k = 2. Layer: 4*8 + 4*4 + 3*4*8 = 144 matrix weights; two layers: 288.
  const tiny = {
    ...qwenShape(4, 8),
    vocabSize: 10,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    headDim: 2,
    prefixTokens: 3,
  }
  const cost = deviceCost(tiny, { P: 2, batch: 3, inputTokens: 5, outputTokens: 3 }, unit, { weightBits: 8, kvBits: 4 })

  test('memory', () => {
    expect(cost.memory.map(({ value }) => value)).toEqual([
      288, // layer weights, a byte each
      40, // embedding
      2 * (2 * (4 + 2 * 2) + 2 * 2 * 4 + 4 + (2 * 16 + 4 + 8 + 2)), // q, k, v biases; norms; aggregation
      2 * 3 * 8 * 0.5, // prefixes: 2 streams x 3 tokens x 8 numbers
      6 * 7 * 8 * 0.5, // 6 rows x (5 + 2) tokens x 2 layers x 2 x k = 8 numbers
      6 * 5 * (8 + 16) * 2, // 2 q + 2 k = 12 < 2 i = 16
      3 * 10 * 4,
    ])
  })

  test('prefill', () => {
    // Keys seen by the 5 queries of a row: 3 + 1 up to 3 + 5 = 30.
    expect(cost.prefill.flops.map(({ value }) => value)).toEqual([2 * 288 * 6 * 5, 4 * 2 * 4 * 6 * 30, 2 * 3 * 40, 2 * 3 * 40])
    expect(cost.prefill.bytes.map(({ value }) => value)).toEqual([288, 40, 80, 6 * 8 * 4, 6 * 5 * 2 * (48 + 16 + 8 + 48) * 2])
    expect(cost.prefill.seconds).toBe(Math.max(cost.prefill.computeSeconds, cost.prefill.memorySeconds))
  })

  test('decode: two steps, the cache one token longer in the second', () => {
    expect(value(cost.decode.flops, 'attention')).toBe(4 * 2 * 4 * 6 * (9 + 10))
    expect(value(cost.decode.bytes, 'KV cache')).toBe(6 * (9 + 10) * 4)
    expect(value(cost.decode.bytes, 'layer weights')).toBe(2 * 288)
    expect(cost.secondsPerToken).toBe(cost.decode.seconds / 2)
  })
})

describe('what must hold for any request', () => {
  const workloads = fc.record({
    P: fc.integer({ min: 1, max: 16 }),
    batch: fc.integer({ min: 1, max: 64 }),
    inputTokens: fc.integer({ min: 1, max: 4096 }),
    outputTokens: fc.integer({ min: 1, max: 64 }),
  })

  test('more streams, tokens or bits never cost less', () => {
    fc.assert(
      fc.property(workloads, fc.constantFrom(...devices), (w, device) => {
        const base = deviceCost(shape, w, device, { weightBits: 8, kvBits: 8 })
        const dearer = [
          deviceCost(shape, { ...w, P: w.P + 1 }, device, { weightBits: 8, kvBits: 8 }),
          deviceCost(shape, { ...w, batch: w.batch + 1 }, device, { weightBits: 8, kvBits: 8 }),
          deviceCost(shape, { ...w, outputTokens: w.outputTokens + 1 }, device, { weightBits: 8, kvBits: 8 }),
          deviceCost(shape, w, device, { weightBits: 9, kvBits: 9 }),
        ]
        for (const { memoryBytes, latencySeconds } of dearer) {
          expect(memoryBytes).toBeGreaterThan(base.memoryBytes)
          expect(latencySeconds).toBeGreaterThanOrEqual(base.latencySeconds)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('streams cost rows: P = 4 without prefix and aggregation is a batch four times as large', () => {
    const bare = { ...shape, prefixTokens: 0 }
    const streams = deviceCost(bare, { ...workload, P: 4 }, a100, full)
    const rows = deviceCost(bare, { ...workload, batch: 4 }, a100, full)
    expect(value(streams.decode.flops, 'layers')).toBe(value(rows.decode.flops, 'layers'))
    expect(value(streams.memory, 'KV cache')).toBe(value(rows.memory, 'KV cache'))
    expect(value(streams.decode.flops, 'logits') * 4).toBe(value(rows.decode.flops, 'logits'))
  })
})

test('mixed probabilities take the output embedding of each stream, and read it once', () => {
  const streams = { n: 4, input: ['scales'], gate: false, loraRank: 0, aggregation: 'average' } as const
  const cost = (merge: 'hidden' | 'probabilities') =>
    deviceCost({ ...shape, streams: { ...streams, merge } }, { ...workload, P: 4 }, a100, full)
  const [hidden, probabilities] = [cost('hidden'), cost('probabilities')]
  for (const phase of ['prefill', 'decode'] as const) {
    expect(value(probabilities[phase].flops, 'logits')).toBe(4 * value(hidden[phase].flops, 'logits'))
    expect(value(probabilities[phase].bytes, 'output embedding')).toBe(value(hidden[phase].bytes, 'output embedding'))
  }
  // Logits of four streams and of their mixture.
  expect(value(probabilities.memory, 'logits')).toBe(5 * value(hidden.memory, 'logits'))
})

describe('the rooflines that everybody knows', () => {
  test('one token at a time, weights bind: bytes of the weights over bandwidth', () => {
    const { decode, secondsPerToken } = deviceCost(shape, workload, a100, full)
    expect(decode.binds).toBe('memory bandwidth')
    const weightSeconds = (2 * countParameters(shape, 1).total) / (2039e9 * 0.9)
    expect(secondsPerToken! / weightSeconds).toBeGreaterThan(1)
    expect(secondsPerToken! / weightSeconds).toBeLessThan(1.01)
  })

  test('a long prompt on a GPU: compute binds, 2 FLOPs a weight and token', () => {
    const { prefill } = deviceCost(shape, { ...workload, inputTokens: 2048 }, a100, full)
    expect(prefill.binds).toBe('compute')
    expect(value(prefill.flops, 'layers') / (2 * 2048 * 1.57e9)).toBeCloseTo(1, 2)
  })

  test('eight streams are nearly free on an A100 and not on a Raspberry Pi with 4-bit weights', () => {
    const ratio = (device: Device, weightBits: number) => {
      const seconds = (P: number) => deviceCost(shape, { ...workload, P }, device, { weightBits, kvBits: 16 }).secondsPerToken!
      return seconds(8) / seconds(1)
    }
    expect(ratio(a100, 16)).toBeLessThan(1.1)
    expect(ratio(deviceNamed('raspberry-pi-5'), 4.5)).toBeGreaterThan(1.5)
  })

  test('what does not fit is said', () => {
    expect(deviceCost(publishedModel('4.4B').shape, workload, deviceNamed('raspberry-pi-5'), full).fits).toBe(false)
    expect(
      deviceCost(publishedModel('4.4B').shape, workload, deviceNamed('raspberry-pi-5'), { weightBits: 4.5, kvBits: 16 }).fits,
    ).toBe(true)
  })
})

test('every device has a source, and names are unique', () => {
  for (const { source, memoryBytes, bytesPerSecond, flopsPerSecond } of devices) {
    expect(source.length).toBeGreaterThan(20)
    expect(Math.min(memoryBytes, bytesPerSecond, flopsPerSecond)).toBeGreaterThan(1e9)
  }
  expect(new Set(devices.map(({ name }) => name)).size).toBe(devices.length)
})

test('bad input is refused by name', () => {
  expect(() => deviceNamed('abacus')).toThrow("device: 'abacus' is not known; choose one of a100-80gb")
  expect(() => deviceCost(shape, workload, a100, { weightBits: 0, kvBits: 16 })).toThrow('weightBits must be from 1 to 32, got 0')
  expect(() => deviceCost(shape, { ...workload, outputTokens: 0 }, a100, full)).toThrow('outputTokens must be')
})
