/**
 * What a request costs on a device, by a roofline without the quirks of reference.ts: prefill and decode apart, weights and KV
 * cache at any bit width, the cache as long as it is at each step, logits and aggregation only where a token is drawn.
 *
 * A phase takes the larger of compute time (FLOPs over FLOP/s) and memory time (bytes over bytes/s). A lower bound, not a
 * forecast: launch overheads, caches and imperfect overlap are not in it.
 */

import { usageError } from '../errors.ts'
import type { Device } from './devices.ts'
import { countMatrixWeights, countParameters, outputsPerToken, streamChoices } from './parameters.ts'
import { validateWorkload, type Workload } from './reference.ts'
import { type ModelShape, requirePositive, validateShape } from './shapes.ts'

export interface Precision {
  /** Mean bits a weight of the matrices takes, scales included: 16, or 8.5 for Q8_0, 4.5 for Q4_0. */
  readonly weightBits: number
  readonly kvBits: number
}

/** Share of the peak numbers that is reached. */
export interface Efficiency {
  readonly bandwidth: number
  readonly flops: number
}

/** What the paper's script takes for the A100 (fixtures/law/cost-analysis.json, `settings`). Measured devices use 1 and 1. */
export const assumedEfficiency: Efficiency = { bandwidth: 0.9, flops: 0.7 }

export interface Term {
  readonly name: string
  /** In the symbols of `symbolLegend`. */
  readonly formula: string
  readonly value: number
}

export interface Phase {
  /** FLOPs by part. */
  readonly flops: readonly Term[]
  /** Bytes moved by part. */
  readonly bytes: readonly Term[]
  readonly computeSeconds: number
  readonly memorySeconds: number
  /** Sum over steps of the larger of both. */
  readonly seconds: number
  readonly binds: 'compute' | 'memory bandwidth'
}

/** What a request costs on a device: memory in bytes and time in seconds, part by part. */
export interface DeviceCost {
  /** Bytes by part. */
  readonly memory: readonly Term[]
  readonly memoryBytes: number
  /** Whether the device has that much memory. */
  readonly fits: boolean
  readonly prefill: Phase
  /** All steps after the first token, which prefill gives. */
  readonly decode: Phase
  readonly latencySeconds: number
  /** Mean of a decode step; undefined where one token is all. */
  readonly secondsPerToken: number | undefined
}

/** Activations, norms, biases, prefixes and aggregation are kept in 16 bits whatever the weights have. */
const activationBytes = 2

export const symbolLegend =
  'B requests, P streams, R = B P rows, S prompt tokens, T = S + steps, K prefix tokens (0 for P = 1), L layers, h hidden, i intermediate, ' +
  'q query width, k key width, V vocabulary, M matrix weights of the layers, w weight bits, c cache bits'

/** Throws usage errors for impossible shapes, workloads and bit widths. */
export function deviceCost(
  shape: ModelShape,
  workload: Workload,
  device: Device,
  precision: Precision,
  efficiency: Efficiency = device.kind === 'measured' ? { bandwidth: 1, flops: 1 } : assumedEfficiency,
): DeviceCost {
  validateShape(shape)
  validateWorkload(workload)
  for (const [flag, bits] of Object.entries(precision)) {
    if (!(typeof bits === 'number' && bits >= 1 && bits <= 32))
      throw usageError(`${flag} must be from 1 to 32, got ${bits}`, { flag, found: bits })
  }
  for (const key of ['memoryBytes', 'bytesPerSecond', 'flopsPerSecond'] as const) requirePositive(`device.${key}`, device[key])
  requirePositive('efficiency.bandwidth', efficiency.bandwidth)
  requirePositive('efficiency.flops', efficiency.flops)
  const { P, batch: B, inputTokens: S, outputTokens } = workload
  const { hiddenSize: h, intermediateSize: i, numHiddenLayers: L, vocabSize: V, headDim } = shape
  const [q, k] = [shape.numAttentionHeads * headDim, shape.numKeyValueHeads * headDim]
  const { input, aggregation } = streamChoices(shape, P)
  const [rows, prefix, steps] = [B * P, input.includes('prefix') ? shape.prefixTokens : 0, outputTokens - 1]
  const counts = countParameters(shape, P)
  const outputs = outputsPerToken(shape, P)
  // One product for all of them, which reads the output embedding once.
  const ofOutputs = outputs > 1 ? 'P ' : ''
  const matrixWeights = countMatrixWeights(shape)
  const weightBytes = precision.weightBits / 8
  const smallParameters = counts.attention + counts.mlp - matrixWeights + counts.norms + counts.adapters + counts.aggregation
  const cacheBytesPerToken = (L * 2 * k * precision.kvBits) / 8 // for one row

  const memory: Term[] = [
    { name: 'layer weights', formula: 'M w / 8', value: matrixWeights * weightBytes },
    {
      name: 'embeddings',
      formula: shape.tiedEmbeddings ? 'V h w / 8' : '2 V h w / 8',
      value: (counts.embedding + counts.outputEmbedding) * weightBytes,
    },
    {
      name: counts.adapters > 0 ? 'norms, biases, adapters, aggregation' : 'norms, biases, aggregation',
      formula: '2 bytes each',
      value: smallParameters * activationBytes,
    },
    { name: 'prefixes', formula: 'P K L 2 k c / 8, shared by the requests', value: P * prefix * cacheBytesPerToken },
    { name: 'KV cache', formula: 'R T L 2 k c / 8', value: rows * (S + steps) * cacheBytesPerToken },
    {
      name: 'prefill activations',
      formula: 'R S (2 h + max(2 q + 2 k, 2 i)) 2 bytes',
      value: rows * S * (2 * h + Math.max(2 * q + 2 * k, 2 * i)) * activationBytes,
    },
    // And those of their mixture, where streams have logits each.
    {
      name: 'logits',
      formula: outputs > 1 ? 'B (P + 1) V 4 bytes' : 'B V 4 bytes',
      value: B * (outputs > 1 ? P + 1 : 1) * V * 4,
    },
  ]

  // Each operator of a layer reads its inputs and writes its outputs once: norms, projections, attention, gated MLP, residuals.
  const activationTraffic = L * (12 * h + 4 * q + 4 * k + 6 * i) * activationBytes
  const aggregationWeights = P > 1 && aggregation === 'dynamic' ? P * h * h + P * h : 0
  // As the matrices, two operations for each weight, but each row has only its own stream's.
  const adapters = (tokens: number): Term[] =>
    counts.adapters === 0 ? [] : [{ name: 'adapters', formula: '2 B tokens (weights)', value: 2 * B * tokens * counts.adapters }]

  /** One pass in which every row takes `tokens` new tokens, whose queries see `seen` keys in sum; one token is drawn a request. */
  const pass = (tokens: number, seen: number, cachedTokens: number) => ({
    flops: [
      { name: 'layers', formula: '2 M R tokens', value: 2 * matrixWeights * rows * tokens },
      ...adapters(tokens),
      { name: 'attention', formula: '4 L q R (keys seen)', value: 4 * L * q * rows * seen },
      { name: 'aggregation', formula: '2 B (P h^2 + P h)', value: 2 * B * aggregationWeights },
      { name: 'logits', formula: `2 B ${ofOutputs}V h`, value: 2 * B * outputs * V * h },
    ],
    bytes: [
      { name: 'layer weights', formula: 'M w / 8', value: matrixWeights * weightBytes },
      { name: 'output embedding', formula: 'V h w / 8', value: V * h * weightBytes },
      { name: 'aggregation', formula: '2 (P h^2 + P h)', value: aggregationWeights * activationBytes },
      ...(counts.adapters > 0 ? [{ name: 'adapters', formula: '2 bytes each', value: counts.adapters * activationBytes }] : []),
      {
        name: 'KV cache',
        formula: 'R (K + cached + new) L 2 k c / 8',
        value: rows * (prefix + cachedTokens + tokens) * cacheBytesPerToken,
      },
      { name: 'activations', formula: 'R tokens L (12 h + 4 q + 4 k + 6 i) 2', value: rows * tokens * activationTraffic },
    ],
  })
  // Scales beside the codes count into the mean bits.
  const matrixRate = precision.weightBits < 16 ? (device.int8OpsPerSecond ?? device.flopsPerSecond) : device.flopsPerSecond
  const rates = { flops: matrixRate * efficiency.flops, bytes: device.bytesPerSecond * efficiency.bandwidth }

  const prefill = phaseOf([pass(S, S * prefix + (S * (S + 1)) / 2, 0)], rates)
  const decode = phaseOf(
    Array.from({ length: steps }, (_, j) => pass(1, prefix + S + j + 1, S + j)),
    rates,
  )
  const memoryBytes = total(memory)
  return {
    memory,
    memoryBytes,
    fits: memoryBytes <= device.memoryBytes,
    prefill,
    decode,
    latencySeconds: prefill.seconds + decode.seconds,
    secondsPerToken: steps === 0 ? undefined : decode.seconds / steps,
  }
}

interface Pass {
  readonly flops: readonly Term[]
  readonly bytes: readonly Term[]
}

function phaseOf(passes: readonly Pass[], rates: { readonly flops: number; readonly bytes: number }): Phase {
  const times = passes.map((pass) => ({ compute: total(pass.flops) / rates.flops, memory: total(pass.bytes) / rates.bytes }))
  const sum = (of: (time: { compute: number; memory: number }) => number) =>
    times.reduce((seconds, time) => seconds + of(time), 0)
  const [computeSeconds, memorySeconds] = [sum(({ compute }) => compute), sum(({ memory }) => memory)]
  return {
    flops: addTerms(passes.map(({ flops }) => flops)),
    bytes: addTerms(passes.map(({ bytes }) => bytes)),
    computeSeconds,
    memorySeconds,
    seconds: sum(({ compute, memory }) => Math.max(compute, memory)),
    binds: computeSeconds > memorySeconds ? 'compute' : 'memory bandwidth',
  }
}

const total = (terms: readonly Term[]) => terms.reduce((sum, { value }) => sum + value, 0)

function addTerms(lists: readonly (readonly Term[])[]): Term[] {
  const [first = []] = lists
  return first.map((term, i) => ({ ...term, value: lists.reduce((sum, list) => sum + list[i]!.value, 0) }))
}
